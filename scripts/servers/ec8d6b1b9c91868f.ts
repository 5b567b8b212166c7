
    import { startPostgres } from "file:///work/main/scripts/servers/postgres.ts";
    import { startRedis } from "file:///work/main/scripts/servers/redis.ts";
    const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    console.log(JSON.stringify({ dataDir: postgres.dataDir, ports: [postgres.port, redis.port] }));
    setInterval(() => {}, 1000);
  