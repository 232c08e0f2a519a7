// A login with ssh2, the client of many Node programs: ssh2_client.js ACT PORT USER KEY HOST_KEY_SHA256
//
// ACT: command     runs a command, prints its output
//      exec        runs the command in the last argument, prints its output, its errors and its exit status
//      pty         opens a shell in a terminal of 97 columns, prints the size it sees
//      sftp        writes and reads 3 MB by SFTP
//      forward     carries 1 MB through a direct-tcpip channel to a service beside the instance, and back
//      listen      has the instance listen, connects there from a second channel, prints what came
const { createHash, randomBytes } = require('crypto');
const { readFileSync } = require('fs');
const net = require('net');
const { Client } = require(`${__dirname}/../../.test/npm/node_modules/ssh2`);

const [act, port, username, key, hostKey, line] = process.argv.slice(2);
const client = new Client();

function fail(error) {
  console.error(error);
  process.exit(1);
}

// The answer of a function that takes a callback (error, answer).
function answer(call) {
  return new Promise((resolve, reject) => call((error, value) => (error ? reject(error) : resolve(value))));
}

async function text(stream) {
  let all = '';
  for await (const piece of stream) all += piece;
  return all;
}

const acts = {
  async command() {
    const stream = await answer((done) => client.exec('echo $POOLGATE_INSTANCE; whoami', done));
    console.log((await text(stream)).trim());
  },

  async exec() {
    let ended;
    // All of a short answer may come at once, and be over before anything that waits for the stream goes on.
    const stream = await answer((done) => client.exec(line, (error, stream) => {
      ended = stream && new Promise((resolve) => stream.on('exit', resolve));
      done(error, stream);
    }));
    const [out, err] = await Promise.all([text(stream), text(stream.stderr)]);
    console.log(`${out.trim()}\n${err.trim()}\nexit ${await ended}`);
  },

  async pty() {
    const stream = await answer((done) => client.shell({ rows: 31, cols: 97, term: 'vt220' }, done));
    stream.write('stty size; echo $TERM; exit\n');
    console.log(await text(stream));
  },

  async sftp() {
    const sftp = await answer((done) => client.sftp(done));
    const data = randomBytes(3_000_000);
    await answer((done) => sftp.writeFile('ssh2.bin', data, done));
    const back = await answer((done) => sftp.readFile('ssh2.bin', done));
    console.log(data.equals(back) ? 'same' : 'different');
  },

  async forward() {
    const service = net.createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
    await answer((done) => service.once('listening', () => done()));
    const stream = await answer((done) => client.forwardOut('127.0.0.1', 0, '127.0.0.1', service.address().port, done));
    const data = randomBytes(1_000_000);
    stream.end(data);
    const pieces = [];
    for await (const piece of stream) pieces.push(piece);
    console.log(data.equals(Buffer.concat(pieces)) ? 'same' : 'different');
    service.close();
  },

  async listen() {
    client.on('tcp connection', (details, accept) => accept().end(`from ${details.destIP}`));
    const there = await answer((done) => client.forwardIn('127.0.0.1', 0, done));
    const stream = await answer((done) => client.forwardOut('127.0.0.1', 0, '127.0.0.1', there, done));
    console.log(await text(stream));
    await answer((done) => client.unforwardIn('127.0.0.1', there, done));
  },
};

client
  .on('ready', () => acts[act]().then(() => client.end(), fail))
  .on('error', fail)
  .connect({
    host: '127.0.0.1',
    port: Number(port),
    username,
    privateKey: readFileSync(key),
    hostVerifier: (blob) => `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=*$/, '')}` === hostKey,
  });
