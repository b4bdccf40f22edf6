// The line to the sandbox: one stream of changes in, small posts out. A broken line is said, and mended by itself.

const AGAIN_MS = 1500;

/** Do something as a person. Resolves to what they see; rejects with the sentence that says why not. */
export async function post(what, content) {
  let answer;
  try {
    answer = await fetch(`/_person/${what}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
  } catch {
    throw new Error("The sandbox does not answer. Is `make demo` still running?");
  }
  const said = await answer.json().catch(() => ({ ok: false, error: `The sandbox answered ${answer.status}.` }));
  if (!said.ok) throw new Error(said.error ?? `The sandbox answered ${answer.status}.`);
  return said.sees ?? {};
}

async function get(what) {
  const answer = await fetch(`/_person/${what}`);
  if (!answer.ok) throw new Error(`The sandbox answered ${answer.status}.`);
  return answer.json();
}

/** Follow the sandbox for as long as the page is open: the whole state at each beginning, then parts as they change. */
export function follow(store) {
  const source = new EventSource("/_person/events");
  let waiting = [];
  const take = (change) => {
    const { seq, parts, ...content } = change;
    if (seq > store.state.seq) store.take({ ...content, seq });
  };
  source.addEventListener("hello", async () => {
    waiting = [];
    try {
      const [state, samples] = await Promise.all([get("state"), get("samples")]);
      store.state.seq = 0;
      store.take({ ...state, samples });
      const late = waiting;
      waiting = null;
      late.forEach(take);
      store.show({ link: "live" });
    } catch {
      again(source, store);
    }
  });
  source.addEventListener("change", (event) => {
    const change = JSON.parse(event.data);
    if (waiting) waiting.push(change);
    else take(change);
  });
  source.addEventListener("error", () => {
    if (store.ui.link !== "lost") store.show({ link: "lost" });
    if (source.readyState === EventSource.CLOSED) again(source, store);
  });
}

function again(source, store) {
  source.close();
  store.show({ link: "lost" });
  setTimeout(() => follow(store), AGAIN_MS);
}
