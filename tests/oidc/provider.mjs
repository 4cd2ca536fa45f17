// A real OpenID provider on loopback behind TLS, for tests.
//
//   NODE_EXTRA_CA_CERTS=CERT node provider.mjs CERT KEY DIRECTORY-WITH-NODE_MODULES
//
// Prints one line of JSON, {"issuer", "control"}, when it is ready. The control address answers
// plain HTTP: POST /rotate replaces the signing key, POST /replace does so under the same `kid`,
// GET /stats counts the reads of the key set,
// GET /service gets a token by client credentials, GET /user/NAME one by logging in as a browser does.
import { createHash, randomBytes } from 'node:crypto';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [cert, key, modules] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/`));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { Provider } = await load('oidc-provider');
const { exportJWK, generateKeyPair } = await load('jose');

const RESOURCE = 'https://api.example.test';
const listen = (server) =>
  new Promise((ready) => server.listen(0, '127.0.0.1', () => ready(server.address().port)));

// One store for every generation of the provider, so that sessions survive a rotation.
const store = new Map();
class Adapter {
  constructor(model) { this.prefix = `${model}:`; }
  async upsert(id, payload) {
    store.set(this.prefix + id, payload);
    if (payload.uid) store.set(`uid:${payload.uid}`, this.prefix + id);
  }
  async find(id) { return store.get(this.prefix + id); }
  async findByUid(uid) { return store.get(store.get(`uid:${uid}`)); }
  async findByUserCode() {}
  async consume(id) { store.get(this.prefix + id).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { store.delete(this.prefix + id); }
  async revokeByGrantId() {}
}

let generation = 0;
async function signingKey(number) {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid: `key-${number}`, use: 'sig', alg: 'ES256' };
}

function provider(issuer, jwk) {
  const made = new Provider(issuer, {
    adapter: Adapter,
    clients: [
      { client_id: 'svc', client_secret: 'svc-secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [], id_token_signed_response_alg: 'ES256' },
      { client_id: 'web', client_secret: 'web-secret', grant_types: ['authorization_code'], redirect_uris: ['https://127.0.0.1/callback'], id_token_signed_response_alg: 'ES256' },
    ],
    claims: { openid: ['sub'] },
    cookies: { keys: ['for tests'] },
    extraTokenClaims: async (_ctx, token) => (token.accountId ? { tenant: 'acme', roles: ['clerk'] } : {}),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'orders:read orders:write',
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    findAccount: async (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    jwks: { keys: [jwk] },
    pkce: { required: () => true },
    ttl: { AccessToken: 600, ClientCredentials: 600, Session: 600, Grant: 600, Interaction: 600 },
  });
  made.on('server_error', (_ctx, error) => console.error(error));
  return made.callback();
}

let reads = 0;
let answer = (_request, response) => response.writeHead(503).end();
const server = createHttps({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
  if (request.url.startsWith('/jwks')) reads += 1;
  answer(request, response);
});
const issuer = `https://127.0.0.1:${await listen(server)}`;
const sign = async (number) => { answer = provider(issuer, await signingKey(number)); };
await sign(++generation);

const basic = (id) => `Basic ${Buffer.from(`${id}:${id}-secret`).toString('base64')}`;
async function token(client, form) {
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { authorization: basic(client) },
    body: new URLSearchParams(form),
  });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

// Authorization code with PKCE: the login and consent pages, their forms and cookies.
async function login(name) {
  const cookies = new Map();
  const visit = async (url, form) => {
    const response = await fetch(url, {
      method: form ? 'POST' : 'GET',
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([key, value]) => `${key}=${value}`).join('; ') },
      body: form && new URLSearchParams(form),
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, key, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      cookies.set(key, value);
    }
    const next = response.headers.get('location');
    if (!next) return response;
    const target = new URL(next, url);
    return target.pathname === '/callback' ? target.searchParams.get('code') : visit(target.href);
  };
  const verifier = randomBytes(32).toString('base64url');
  const start = new URL(`${issuer}/auth`);
  start.search = new URLSearchParams({
    client_id: 'web',
    response_type: 'code',
    redirect_uri: 'https://127.0.0.1/callback',
    scope: 'openid orders:read orders:write',
    resource: RESOURCE,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  let page = await visit(start.href);
  for (const prompt of ['login', 'consent']) {
    const [, action] = /action="([^"]+)"/.exec(await page.text());
    page = await visit(action, { prompt, login: name, password: 'any' });
  }
  return token('web', {
    grant_type: 'authorization_code',
    code: page,
    redirect_uri: 'https://127.0.0.1/callback',
    code_verifier: verifier,
  });
}

const control = createHttp(async (request, response) => {
  const answers = {
    'POST /rotate': async () => { await sign(++generation); return { generation }; },
    'POST /replace': async () => { await sign(generation); return { generation }; },
    'GET /stats': async () => ({ reads, generation }),
    'GET /service': () => token('svc', { grant_type: 'client_credentials', scope: 'orders:read', resource: RESOURCE }),
  };
  const user = /^\/user\/(\w+)$/.exec(request.url);
  try {
    const found = user ? () => login(user[1]) : answers[`${request.method} ${request.url}`];
    response.end(JSON.stringify(await found()));
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
console.log(JSON.stringify({ issuer, control: `http://127.0.0.1:${await listen(control)}` }));
