// The class of the spawn guide, word for word; below it a token is added to what it fetches.
class SpawnManager {
    constructor(baseUrl) {
        this.baseUrl = baseUrl;
    }
    
    async getSpawnTree(jobId, format = 'json', maxDepth = 10) {
        const response = await fetch(
            `${this.baseUrl}/api/jobs/${jobId}/spawn-tree?format=${format}&max_depth=${maxDepth}`
        );
        return response.json();
    }
    
    async getSpawnStats(queue = null, hours = 24) {
        const params = new URLSearchParams();
        if (queue) params.append('queue', queue);
        params.append('hours', hours);
        
        const response = await fetch(`${this.baseUrl}/api/spawn/stats?${params}`);
        return response.json();
    }
    
    async getSpawnOperations(limit = 50) {
        const response = await fetch(`${this.baseUrl}/api/spawn/operations?limit=${limit}`);
        return response.json();
    }
}

const [base, job, token] = process.argv.slice(2);
const plain = globalThis.fetch;
globalThis.fetch = (url) => plain(url, { headers: { Authorization: token } });
const manager = new SpawnManager(base);
console.log(JSON.stringify(await manager.getSpawnTree(job)));
console.log(JSON.stringify(await manager.getSpawnStats('default')));
console.log(JSON.stringify(await manager.getSpawnOperations()));
