// sn-rest-client: pages by the Link header, retries, renews an OAuth token when it has ended.
const assert = require('assert');
const restClient = require('sn-rest-client');

async function main(host) {
  const hostName = 'http://' + host + '/';
  const basic = { auth: { username: 'integration', password: 'integration' }, hostName, silent: true };
  const client = restClient(basic);
  const table = 'api/now/table/incident';
  const [made] = await client.post({ url: table, body: { short_description: 'by sn-rest-client' } });
  assert(made.number.startsWith('INC'));
  for (let i = 0; i < 6; i += 1) {
    await client.post({ url: table, body: { short_description: 'paged', correlation_display: String(i) } });
  }
  const query = 'short_description=paged^ORDERBYcorrelation_display';
  const paged = await client.get({ url: table + '?sysparm_limit=2&sysparm_query=' + encodeURIComponent(query) });
  assert.deepStrictEqual(paged.map((row) => row.correlation_display), ['0', '1', '2', '3', '4', '5']);
  const [changed] = await client.patch({ url: table + '/' + made.sys_id, body: { urgency: '1' } });
  assert.strictEqual(changed.urgency, '1');
  await client.del({ url: table + '/' + made.sys_id });
  await assert.rejects(client.get({ url: table + '/' + made.sys_id }), (why) => why.statusCode === 404);

  const form = new URLSearchParams({
    grant_type: 'password', client_id: 'firn', client_secret: 'firn', username: 'integration', password: 'integration',
  });
  const granted = await (await fetch(hostName + 'oauth_token.do', { method: 'POST', body: form })).json();
  const oauth = restClient({
    hostName, silent: true,
    auth: { clientId: 'firn', clientSecret: 'firn', accessToken: 'ended', refreshToken: granted.refresh_token },
  });
  const users = await oauth.get({ url: 'api/now/table/sys_user?sysparm_limit=1', autoPagination: false });
  assert.strictEqual(users.length, 1);
  assert.notStrictEqual(oauth.getAccessToken(), 'ended');
  console.log('sn-rest-client');
}

main(process.argv[2]).catch((why) => { console.error(why); process.exit(1); });
