// What the types of the client accept and refuse: tsc checks it.
import { HammerflowClient, HammerflowError } from './hammerflow-client.js';
const api = new HammerflowClient('', { token: 'hf_x' });
const page = await api.listJobs({ state: 'failed', limit: 5 });
const id: string = page.items[0].id;
const made = await api.enqueueJob({ task: 'a', args: [1] }, { key: 'k' });
const isNew: boolean = made.is_new;
await api.pauseQueue({ queue: 'mail/eu', reason: 'x' });
for await (const event of api.events({ kinds: 'job.failed' })) { const n: number = event.position; break; }
// @ts-expect-error
await api.listJobs({ stat: 'failed' });
// @ts-expect-error
await api.showJob({});
// @ts-expect-error
page.items[0].nothing;
export { id, isNew, HammerflowError };
