// Surfpool as a child process with fixed ports: node surfpool.mjs RPC_PORT WS_PORT [CONFIG_AS_JSON]
// SURFPOOL_HOST says where to listen, 127.0.0.1 by default.
// Prints one line of JSON once it serves. Ends on SIGTERM, and when its standard input ends: it dies with its parent.
import { createServer, connect } from 'node:net';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { Surfnet } = require('@solana/surfpool-linux-x64-gnu');

const DRAIN_MS = 20; // nobody drains its queue of events: the node freezes after some 500 transactions
const SLOT_MS = 50; // the default of 1 ms in clock mode locks the node up

const [rpcPort, wsPort] = process.argv.slice(2, 4).map(Number);
const config = { offline: true, blockProductionMode: 'clock', slotTimeMs: SLOT_MS, ...JSON.parse(process.argv[4] ?? '{}') };
const net = Surfnet.startWithConfig(config);
setInterval(() => net.drainEvents(), DRAIN_MS);

const stop = () => {
  try {
    net.stop();
  } finally {
    process.exit(0);
  }
};
process.on('SIGTERM', stop).on('SIGINT', stop);
process.stdin.on('end', stop).on('error', stop).resume();

const host = process.env.SURFPOOL_HOST ?? '127.0.0.1';

// Surfpool chooses its ports itself: a byte proxy makes them ours, and the same after a restart.
function serve(port, target) {
  const { port: inner } = new URL(target);
  const server = createServer((client) => {
    const upstream = connect(Number(inner), '127.0.0.1');
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    client.pipe(upstream).pipe(client);
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  server.on('error', (error) => {
    process.stderr.write(`${error}\n`);
    process.exit(1);
  });
  return new Promise((resolve) => server.listen(port, host, resolve));
}

await Promise.all([serve(rpcPort, net.rpcUrl), serve(wsPort, net.wsUrl)]);
process.stdout.write(`${JSON.stringify({ rpcPort, wsPort })}\n`);
