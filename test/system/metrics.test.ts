// `roostadm metrics` and the stats service, asked over HTTP by Node's own client and by hand.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { get as getTls } from 'node:https';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { askMaster } from '#ipc/master-client.js';
import { freePort } from '../support/free-port.js';
import { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { type RunningRoost, startRoost } from '../support/running-roost.js';

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

function ask(port: number, path: string, options: { readonly method?: string; readonly accept?: string } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', accept = '*/*' } = options;
    request({ host: '127.0.0.1', port, path, method, headers: { accept } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', text }));
    })
      .on('error', reject)
      .end();
  });
}

function sample(text: string, series: string): number | undefined {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

/** What the server sends to these octets until it closes the connection. */
async function raw(port: number, octets: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => (text += part));
  socket.on('error', () => undefined);
  socket.write(octets);
  await once(socket, 'close');
  return text;
}

describe('Metrics', () => {
  const port = freePort();
  const tlsPort = freePort();
  let server: RunningRoost;
  before(async () => {
    // A scheme that is slow on purpose, so that right passwords are remembered.
    const slow = '{SHA512-CRYPT}$6$roostsalt$ZijX/3/gZak8cCL9kSuCI5ymuyrO3cZWUq2AuGGRRcxasuaGGIY00O4lPyjDFn5EQee5obxLlD45DusnaxiVl.::::::';
    server = await startRoost({
      users: { alice: slow, bob: slow },
      settings: { auth_cache_size: '1M', auth_failure_delay: '0' },
      extra: `service stats {
  inet_listener http {
    address = 127.0.0.1
    port = ${port}
  }
  inet_listener https {
    address = 127.0.0.1
    port = ${tlsPort}
    ssl = yes
  }
}
protocol imap {
  mail_max_userip_connections = 1
}
`,
    });
  });
  after(() => server.stop());

  /** Asks until the series has this value: processes report their counts once a second. */
  async function reaches(series: string, value: number): Promise<void> {
    let last = '';
    for (const deadline = Date.now() + patienceMs; Date.now() < deadline; await new Promise((resolve) => setTimeout(resolve, 50))) {
      last = (await ask(port, '/metrics')).text;
      if (sample(last, series) === value) return;
    }
    assert.fail(`${series} is not ${value}:\n${last}`);
  }

  async function login(user: string, password: string): Promise<{ readonly client: LineClient; readonly reply: string }> {
    const client = new LineClient(connect(server.ports.imap, '127.0.0.1'), patienceMs);
    await client.line();
    client.raw(`a LOGIN ${user} ${password}\r\n`);
    for (let line = await client.line(); ; line = await client.line()) {
      if (line === undefined || line.startsWith('a ')) return { client, reply: line ?? '' };
    }
  }

  it('tell of logins, refusals by limit, authentication and its cache, deliveries and processes', async () => {
    const first = await login('alice', 'secret');
    assert.match(first.reply, /^a OK /);
    const wrong = await login('alice', 'wrong');
    assert.match(wrong.reply, /^a NO \[AUTHENTICATIONFAILED\]/);
    const second = await login('alice', 'secret');
    assert.match(second.reply, /^a NO .*mail_max_userip_connections/);
    const other = await login('bob', 'secret');
    assert.match(other.reply, /^a OK /);
    const lmtp = new LineClient(connect(server.ports.lmtp, '127.0.0.1'), patienceMs);
    const send = async (line: string): Promise<string> => {
      lmtp.raw(`${line}\r\n`);
      for (let reply = await lmtp.line(); ; reply = await lmtp.line()) if (reply === undefined || /^\d{3} /.test(reply)) return reply ?? '';
    };
    await lmtp.line();
    await send('LHLO here');
    await send('MAIL FROM:<x@example.org>');
    await send('RCPT TO:<alice@localhost>');
    assert.match(await send('DATA'), /^354/);
    assert.match(await send('Subject: x\r\n\r\nx\r\n.'), /^250/);
    await reaches('roost_logins_total{service="imap-login"}', 2);
    await reaches('roost_login_refused_total{service="imap-login",reason="user_limit"}', 1);
    await reaches('roost_auth_requests_total{service="auth",result="failed"}', 1);
    await reaches('roost_deliveries_total{service="lmtp",result="saved"}', 1);
    await reaches('roost_service_clients{service="imap"}', 2);
    await reaches('roost_service_clients_served_total{service="imap"}', 2);
    // Login processes ask nobody for a second after a login that succeeded.
    const asked = 'roost_auth_requests_total{service="auth",result="ok"}';
    const deadline = Date.now() + patienceMs;
    for (let count = 0; count < 3; count = sample((await ask(port, '/metrics')).text, asked) ?? 0) {
      assert.ok(Date.now() < deadline, asked);
      const again = await login('alice', 'secret');
      assert.match(again.reply, /^a NO .*mail_max_userip_connections/);
      again.client.close();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { text } = await ask(port, '/metrics');
    assert.ok((sample(text, 'roost_auth_cache_total{service="auth",result="hit"}') ?? 0) > 0, text);
    assert.ok((sample(text, 'roost_auth_cache_total{service="auth",result="miss"}') ?? 0) > 0, text);
    assert.ok((sample(text, 'roost_service_resident_memory_bytes{service="imap"}') ?? 0) > 10_000_000, text);
    assert.doesNotMatch(text, /alice|bob|127\.0\.0\.1/, 'users and addresses are nobody’s business');
    for (const { client } of [first, wrong, second, other]) client.close();
    lmtp.close();
  });

  it('are the same for an administrator at the terminal', async () => {
    const printed = await server.admin(['metrics']);
    assert.equal(printed.code, 0);
    assert.equal(printed.stderr, '');
    const names = (text: string): string[] => [...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name ?? '');
    assert.deepEqual(names(printed.stdout), names((await ask(port, '/metrics')).text));
    const rows: unknown = JSON.parse((await server.admin(['--json', 'metrics'])).stdout);
    assert.ok(Array.isArray(rows) && rows.length > 50);
  });

  it('come in the format that the client asks for', async () => {
    const plain = await ask(port, '/metrics?x=1');
    assert.equal(plain.status, 200);
    assert.match(plain.type, /^text\/plain; version=0\.0\.4/);
    assert.doesNotMatch(plain.text, /# EOF/);
    const open = await ask(port, '/metrics', { accept: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5' });
    assert.match(open.type, /^application\/openmetrics-text; version=1\.0\.0/);
    assert.match(open.text, /\n# EOF\n$/);
    assert.equal((await ask(port, '/metrics', { method: 'HEAD' })).text, '');
  });

  it('come over TLS where the listener says so', async () => {
    const status = await new Promise((resolve, reject) => {
      getTls({ host: '127.0.0.1', port: tlsPort, path: '/metrics', rejectUnauthorized: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).on('error', reject);
    });
    assert.equal(status, 200);
  });

  const refusals: readonly (readonly [string, string, RegExp])[] = [
    ['another path', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 404 /],
    ['a path that only begins so', 'GET /metricsx HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 404 /],
    ['another method', 'POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc', /^HTTP\/1\.1 405 /],
    ['what is not HTTP', '\x16\x03\x01\x02\x00\x01\x00', /^HTTP\/1\.1 400 /],
    ['a header that is too long', `GET /metrics HTTP/1.1\r\nX: ${'x'.repeat(9_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
    ['two lengths', 'GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', /^HTTP\/1\.1 400 /],
    [
      'a second request on one connection',
      'GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n',
      /^(?!.*roost_service).*$/s,
    ],
  ];
  for (const [what, octets, expected] of refusals) {
    it(`refuse ${what}`, async () => {
      assert.match(await raw(port, octets), expected);
    });
  }

  it('keep counting over a reload', async () => {
    const before = (await ask(port, '/metrics')).text;
    assert.deepEqual((await server.admin(['reload'])).code, 0);
    const reply = await askMaster(server.baseDir, { command: 'metrics' }, { timeoutMs: patienceMs });
    assert.ok(reply.ok);
    const text = reply.metrics ?? '';
    assert.equal(sample(text, 'roost_reloads_total{result="ok"}'), 1);
    for (const series of ['roost_logins_total{service="imap-login"}', 'roost_service_processes_started_total{service="imap-login"}']) {
      assert.ok((sample(text, series) ?? 0) >= (sample(before, series) ?? 1), series);
    }
  });
});

describe('The stats service', () => {
  it('runs no process and listens nowhere unless it is told to', async () => {
    await using server = await startRoost({ protocols: ['imap'] });
    const reply = await askMaster(server.baseDir, { command: 'process-status', services: ['stats'] }, { timeoutMs: patienceMs });
    assert.ok(reply.ok);
    assert.deepEqual(reply.processes, []);
    assert.match((await server.admin(['metrics'])).stdout, /^roost_service_processes\{service="stats"\} 0$/m);
  });
});
