// Uses the shipped client against a live server: node client_check.mjs CLIENT BASE TOKEN NAMES
const [client, base, token, names] = process.argv.slice(2);
const { HammerflowClient, HammerflowError } = await import(client);
const api = new HammerflowClient(base, { token });
const found = {};
found.jobs = (await api.listJobs({ task: 'shop.resize', limit: 2 })).items.length;
found.all = 0;
for await (const job of api.all('listJobs', { limit: 2 })) found.all += job.id ? 1 : 0;
const call = { task: 'shop.resize', args: [41] };
const twice = [await api.enqueueJob(call, { key: 'a' }), await api.enqueueJob(call, { key: 'a' })];
found.once = twice[0].id === twice[1].id;
found.call = (await api.showJob({ job_id: twice[0].id })).call;
found.paused = (await api.pauseQueue({ queue: 'default', reason: 'test' })).is_paused;
await api.resumeQueue({ queue: 'default' });
try {
  await api.showQueue({ queue: 'no/such queue' });
} catch (error) {
  found.refused = [error instanceof HammerflowError, error.status];
}
try {
  await api.listJobs({ stat: 'ready' });
} catch (error) {
  found.unknown = error.message;
}
found.names = [];
for (const queue of JSON.parse(names)) found.names.push((await api.showQueue({ queue })).name);
found.events = [];
for await (const event of api.events({ after: 0, kinds: 'queue.*' })) {
  found.events.push(event.kind);
  if (found.events.length === 2) break;
}
for await (const hint of api.changes()) {
  found.topics = hint.topics;
  break;
}
console.log(JSON.stringify(found));
process.exit(0);
