// A certified OpenID provider that issues access tokens (RFC 9068) to three clients.
// node provider.mjs PORT   (its packages are in NODE_PATH's node_modules)
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(`${process.env.NODE_PATH}/`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { Provider } = await load('oidc-provider');
const { exportJWK, generateKeyPair } = await load('jose');

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const audience = 'orders-api';
const roles = { forecast: [], clerk: ['clerk'], manager: ['clerk', 'manager'], visitor: [] };

const { privateKey } = await generateKeyPair('ES256', { extractable: true });
const key = { ...(await exportJWK(privateKey)), kid: 'k-1', use: 'sig', alg: 'ES256' };

const provider = new Provider(issuer, {
  jwks: { keys: [key] },
  clients: Object.keys(roles).map((id) => ({
    client_id: id,
    client_secret: `${id}-secret`,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: 'ES256',
  })),
  scopes: ['orders:read', 'orders:write'],
  extraTokenClaims: (_, token) => ({ roles: roles[token.clientId] }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => `https://${audience}.example`,
      getResourceServerInfo: () => ({
        scope: 'orders:read orders:write',
        audience,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});
provider.listen(port, '127.0.0.1', () => console.log('ready'));
