// One workload on BullMQ, for scripts/peer.sh, which puts this file beside the packages.
//
//   node bullmq.mjs SOCKET WORKLOAD SECONDS ROLES
//
// SOCKET is that of an empty Redis. ROLES has a word for each process, `add`, `work` or `both`, with commas between. Prints jobs
// a second; of `wake`, p50 and p99 in milliseconds.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';

// The same as `ranq bench` has: callers at once, bytes of a payload, jobs of a batch, jobs a second of `wake`.
const AT_ONCE = 64;
const PAYLOAD_BYTES = 146;
const BATCH = 100;
const WAKE_PER_S = 200;
// As long as ranq keeps finished jobs.
const KEEP_S = 24 * 3600;
// For the compiler of node.
const WARM_UP_MS = 2000;
// How often processes tell each other how far they are.
const TELL_MS = 10;
// Jobs that wait at most: adds and work keep pace. Half of them stand there before.
const STANDING = 2_000;

const WORKLOADS = {
    enqueue: { batch: 1 },
    'enqueue-batch': { batch: BATCH },
    jobs: { batch: 1, works: true },
    'jobs-batch': { batch: BATCH, works: true },
    wake: { works: true },
};

const [socket, workload, seconds, roles, role] = process.argv.slice(2);
const { batch, works } = WORKLOADS[workload];
const count = (name) => roles.split(',').filter((word) => word === name || word === 'both').length;

const nowUs = () => process.hrtime.bigint() / 1000n;
const fill = 'x'.repeat(PAYLOAD_BYTES - JSON.stringify(payload(0n, '')).length);

// Like those of `ranq bench`: when it was sent, and a filling.
function payload(sentUs, filling = fill) {
    return { sent_us: String(sentUs).padStart(20, '0'), fill: filling };
}

const connect = () => new Redis(socket, { maxRetriesPerRequest: null });
const openQueue = () => new Queue('bench', { connection: connect() });
const add = (queue) => queue.add('job', payload(nowUs()));
const addMany = (queue) => queue.addBulk(Array.from({ length: BATCH }, () => ({ name: 'job', data: payload(nowUs()) })));

// A process with a role: tells what it has added and done, and hears what all have done together.
async function serve() {
    let [begun, added, done, latencies] = [0, 0, 0, []];
    const others = { done: 0, wake: () => {}, next: Promise.resolve() };
    const listen = () => { others.next = new Promise((resolve) => { others.wake = resolve; }); };
    listen();
    const queue = role === 'work' ? undefined : openQueue();
    await queue?.waitUntilReady();

    const hasRoom = () => !works || begun * count('add') - others.done < STANDING / 2;
    const addOnAndOn = async () => {
        for (;;) {
            while (!hasRoom()) await others.next;
            begun += batch;
            await (batch === 1 ? add(queue) : addMany(queue));
            added += batch;
        }
    };
    const addAtTheRate = async () => {
        const begin = performance.now();
        for (let number = 0; ; number += 1) {
            await sleep(Math.max(0, begin + (number * 1000) / WAKE_PER_S - performance.now()));
            // Stamped at the call: that the timers of node are late does not count.
            add(queue).catch(fail);
        }
    };
    const work = async (job) => {
        if (workload === 'wake') latencies.push(Number(nowUs() - BigInt(job.data.sent_us)) / 1000);
        done += 1;
    };
    if (role !== 'add' && works) {
        const concurrency = AT_ONCE / count('work');
        const worker = new Worker('bench', work, { connection: connect(), concurrency, removeOnComplete: { age: KEEP_S }, autorun: false });
        worker.on('error', fail);
        await worker.waitUntilReady();
        worker.run().catch(fail);
    }
    const percentile = (part) => latencies.sort((a, b) => a - b)[Math.ceil(part * latencies.length) - 1];

    const hear = {
        begin: () => {
            setInterval(() => process.send({ added, done }), TELL_MS);
            if (role === 'work') return;
            if (workload === 'wake') addAtTheRate().catch(fail);
            else for (let caller = 0; caller < AT_ONCE / count('add'); caller += 1) addOnAndOn().catch(fail);
        },
        measure: () => { latencies = []; },
        all: (all) => { others.done = all; others.wake(); listen(); },
        tell: () => { if (latencies.length > 0) process.send({ p50: percentile(0.5), p99: percentile(0.99) }); },
    };
    process.on('message', ([verb, value]) => hear[verb](value));
    process.on('disconnect', () => process.exit());
    process.send({ ready: true });
}

// The process that starts the others and reads their counts.
async function measure() {
    if (works && workload !== 'wake') {
        const queue = openQueue();
        for (let jobs = 0; jobs < STANDING / 2; jobs += BATCH) await addMany(queue);
        await queue.close();
    }
    let told;
    const children = roles.split(',').map((word) => ({
        process: fork(process.argv[1], [socket, workload, seconds, roles, word]), added: 0, done: 0, ready: false,
    }));
    for (const child of children) {
        child.process.on('message', (message) => {
            Object.assign(child, message);
            if (message.p50 !== undefined) told = message;
        });
        child.process.on('exit', (code) => { if (code !== null) fail(new Error(`a process ended with ${code}`)); });
    }
    const tell = (verb, value) => children.forEach((child) => child.process.send([verb, value]));
    const total = (what) => children.reduce((sum, child) => sum + child[what], 0);
    while (!children.every((child) => child.ready)) await sleep(TELL_MS);
    tell('begin');
    const telling = setInterval(() => tell('all', total('done')), TELL_MS);
    await sleep(WARM_UP_MS);
    tell('measure');
    const [begin, added, done] = [performance.now(), total('added'), total('done')];
    await sleep(seconds * 1000);
    const elapsed = (performance.now() - begin) / 1000;
    const grown = { added: total('added') - added, done: total('done') - done };
    tell('tell');
    while (workload === 'wake' && told === undefined) await sleep(TELL_MS);
    clearInterval(telling);
    await Promise.all(children.map((child) => {
        child.process.kill('SIGKILL');
        return once(child.process, 'exit');
    }));
    if (workload === 'wake') return `${told.p50.toFixed(2)} ${told.p99.toFixed(2)}`;
    // A whole life is both.
    return Math.round((works ? Math.min(grown.added, grown.done) : grown.added) / elapsed);
}

function fail(error) {
    console.error(error);
    process.exit(1);
}

if (role === undefined) {
    measure().then((figures) => { console.log(figures); process.exit(0); }, fail);
} else {
    serve().catch(fail);
}
