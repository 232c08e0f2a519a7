// A provider of accounts for the tests: oidc-provider on loopback, with its own pages for logging in.
//
//   node idp.mjs MODULES PORT CLIENT_SECRET REDIRECT_ADDRESS
//
// Whoever logs in is called what they typed, and is in the groups of the table. Prints "ready" once it answers.
const [modules, port, secret, redirect] = process.argv.slice(2);
const { Provider } = await import(`${modules}/oidc-provider/lib/index.js`);

const groups = { victor: ["staff"], olivia: ["staff", "pool-operators"], nina: ["guests"] };
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: "poolgate", client_secret: secret, redirect_uris: [redirect] }],
  claims: { openid: ["sub"], profile: ["preferred_username", "groups"] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: `number-of-${id}`, preferred_username: id, groups: groups[id] ?? [] }),
  }),
  pkce: { required: () => true },
  cookies: { keys: ["of the tests"] },
});
provider.on("server_error", (_, error) => console.error("error", error));
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
