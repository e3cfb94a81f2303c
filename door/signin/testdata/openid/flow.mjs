// A real client of OpenID Connect: discovery, code flow with PKCE, nonce and
// state, the id token's checks, userinfo, refresh, introspection, revocation.
// Usage: node flow.mjs ISSUER REDIRECT CLIENT SECRET

import assert from "node:assert/strict";
import * as client from "openid-client";

const [issuer, redirect, id, secret] = process.argv.slice(2);
const options = { execute: [client.allowInsecureRequests] };
const config = secret
  ? await client.discovery(new URL(issuer), id, secret, undefined, options)
  : await client.discovery(new URL(issuer), id, undefined, client.None(), options);

// The browser, as far as it goes without one.
const jar = new Map();
async function browse(url, form) {
  const headers = { cookie: [...jar].map(([k, v]) => `${k}=${v}`).join("; ") };
  if (form) headers["content-type"] = "application/x-www-form-urlencoded";
  const answer = await fetch(url, { method: form ? "POST" : "GET", body: form?.toString(), headers, redirect: "manual" });
  for (const c of answer.headers.getSetCookie()) {
    const [, k, v] = /^([^=]+)=([^;]*)/.exec(c);
    jar.set(k, v);
  }
  const to = answer.headers.get("location");
  return { to: to && new URL(to, url), text: await answer.text() };
}
const plain = (s) => s.replaceAll("&amp;", "&").replaceAll("&#43;", "+").replaceAll("&#34;", '"');
function formOf(page) {
  const values = new URLSearchParams();
  for (const [, name, value] of page.matchAll(/<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"/g)) values.set(name, plain(value));
  return { action: plain(/<form[^>]*action="([^"]*)"/.exec(page)[1]), values };
}

const code_verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const nonce = client.randomNonce();
const parameters = {
  redirect_uri: redirect, scope: "openid profile email offline_access", state, nonce,
  code_challenge: await client.calculatePKCECodeChallenge(code_verifier), code_challenge_method: "S256",
};
let page = await browse(client.buildAuthorizationUrl(config, parameters));
for (let i = 0; i < 5 && !(page.to && page.to.href.startsWith(redirect)); i++) {
  if (page.to) {
    page = await browse(page.to);
    continue;
  }
  const { action, values } = formOf(page.text);
  if (page.text.includes('name="password"')) {
    values.set("login", "ann");
    values.set("password", "correct horse");
  } else values.set("answer", "allow");
  page = await browse(new URL(action, issuer), values);
}
const tokens = await client.authorizationCodeGrant(config, page.to, { pkceCodeVerifier: code_verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true });
const claims = tokens.claims();
assert.equal(claims.preferred_username, "ann");
assert.equal(claims.nonce, nonce);
const info = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
assert.equal(info.email, "ann@example.org");
const fresh = await client.refreshTokenGrant(config, tokens.refresh_token);
assert.notEqual(fresh.access_token, tokens.access_token);
assert.notEqual(fresh.refresh_token, tokens.refresh_token);
if (secret) {
  assert.equal((await client.tokenIntrospection(config, fresh.access_token)).active, true);
}
await client.tokenRevocation(config, fresh.refresh_token);
await assert.rejects(client.fetchUserInfo(config, fresh.access_token, claims.sub));
await assert.rejects(client.refreshTokenGrant(config, fresh.refresh_token), (e) => e.error === "invalid_grant");
console.log("the whole way");
