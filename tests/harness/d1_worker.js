// Cloudflare's D1 query endpoint over a real D1 binding, as far as its API reference says what it does:
// POST /client/v4/accounts/{account}/d1/database/{database}/{query|raw} with {sql, params} or {batch: [{sql, params}]};
// a batch is one transaction. Beside it, for tests: GET /ready, GET /requests (how many were answered),
// POST /faults [{"status": 429, "retry_after": "1", "after": false, "times": 1}] (after: it is done, and the answer is lost).
let faults = [];
let requests = 0;

function refuse(status, code, message, headers = {}) {
  const body = { result: [], success: false, errors: [{ code, message }], messages: [] };
  return Response.json(body, { status, headers });
}

function takeFault() {
  const fault = faults[0];
  if (fault === undefined) return undefined;
  fault.times = (fault.times ?? 1) - 1;
  if (fault.times <= 0) faults.shift();
  return fault;
}

function faulty(fault) {
  const headers = fault.retry_after === undefined ? {} : { "Retry-After": fault.retry_after };
  if (fault.status === 429) return refuse(429, 10429, "Rate limit reached", headers);
  return new Response("error code: " + fault.status, { status: fault.status, headers });
}

function asRaw(result) {
  const columns = result.results.length > 0 ? Object.keys(result.results[0]) : [];
  return { ...result, results: { columns, rows: result.results.map((r) => columns.map((c) => r[c])) } };
}

async function run(request, env, raw) {
  const body = await request.json();
  const list = Array.isArray(body.batch) ? body.batch : [body];
  const results = await env.DB.batch(list.map((query) => env.DB.prepare(query.sql).bind(...(query.params ?? []))));
  return { result: raw ? results.map(asRaw) : results, success: true, errors: [], messages: [] };
}

async function endpoint(request, env, path) {
  if (request.headers.get("Authorization") !== "Bearer " + env.TOKEN)
    return refuse(401, 10000, "Authentication error");
  if (path[1] !== env.ACCOUNT) return refuse(403, 10000, "Authentication error");
  if (path[2] !== env.DATABASE)
    return refuse(404, 7404, `The database ${path[2]} could not be found`);
  const fault = takeFault();
  if (fault !== undefined && !fault.after) return faulty(fault);
  let answer;
  try {
    answer = Response.json(await run(request, env, path[3] === "raw"));
  } catch (e) {
    answer = refuse(400, 7500, String(e.message).replace(/^D1_ERROR: /, ""));
  }
  return fault !== undefined ? faulty(fault) : answer;
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/ready") return new Response("ready");
    if (url.pathname === "/requests") return Response.json(requests);
    if (url.pathname === "/faults") {
      faults = await request.json();
      return Response.json(true);
    }
    const path = url.pathname.match(/^\/client\/v4\/accounts\/([^/]+)\/d1\/database\/([^/]+)\/(query|raw)$/);
    if (path === null || request.method !== "POST") return refuse(404, 7003, "Could not route to " + url.pathname);
    requests += 1;
    return endpoint(request, env, path);
  },
};
