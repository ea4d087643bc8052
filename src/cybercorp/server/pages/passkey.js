// The browser's part of a passkey ceremony (WebAuthn Level 3). The ticket stands behind '#' in the address, which a
// browser sends to nobody; what this page shows it writes as text.
"use strict";

const element = (id) => document.getElementById(id);
const ticket = location.hash.slice(1);
const TITLES = {
  login: ["Log in with a passkey", () => "A terminal asks to be logged in as whoever your passkey says you are."],
  step_up: ["Is it you?", (user) => `A terminal of ${user} asks for proof before something dangerous.`],
  registration: ["Set up a passkey", (user) => `A new passkey for ${user} is made on this device or on a security key.`],
};
let begun = null;

const toBytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
const toText = (buffer) =>
  btoa(Array.from(new Uint8Array(buffer), (one) => String.fromCharCode(one)).join(""))
    .replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
const withBytes = (list) => (list ?? []).map((one) => ({ ...one, id: toBytes(one.id) }));

async function ask(path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      mode: "cors",
      credentials: "omit",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error("The server does not answer. Try again.");
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error([said.detail ?? `The server answered ${answer.status}.`, said.hint].filter(Boolean).join(" "));
  return said;
}

async function credentialFor({ kind, options }) {
  const challenge = toBytes(options.challenge);
  if (kind === "registration") {
    const made = await navigator.credentials.create({
      publicKey: {
        ...options,
        challenge,
        user: { ...options.user, id: toBytes(options.user.id) },
        excludeCredentials: withBytes(options.excludeCredentials),
      },
    });
    const { clientDataJSON, attestationObject } = made.response;
    return described(made, {
      clientDataJSON: toText(clientDataJSON),
      attestationObject: toText(attestationObject),
      transports: made.response.getTransports?.() ?? [],
    });
  }
  const used = await navigator.credentials.get({
    publicKey: { ...options, challenge, allowCredentials: withBytes(options.allowCredentials) },
  });
  const { clientDataJSON, authenticatorData, signature, userHandle } = used.response;
  return described(used, {
    clientDataJSON: toText(clientDataJSON),
    authenticatorData: toText(authenticatorData),
    signature: toText(signature),
    userHandle: userHandle ? toText(userHandle) : null,
  });
}

const described = (credential, response) => ({
  id: credential.id,
  rawId: toText(credential.rawId),
  type: credential.type,
  clientExtensionResults: {},
  response,
});

function tell(problem, status = "") {
  element("problem").textContent = problem;
  element("status").textContent = status;
}

function reasonOf(error) {
  if (error.name === "NotAllowedError") return "Nothing was used: it was cancelled, took too long, or there is no passkey for this server here.";
  if (error.name === "InvalidStateError") return "This device has a passkey for this account already.";
  if (error.name === "SecurityError") return "The browser refuses passkeys for this address. Reach the server by a name whose certificate the browser trusts.";
  return error.message;
}

async function load() {
  if (!ticket) return tell("This page is opened from a terminal: cybercorp login --passkey.");
  if (!window.PublicKeyCredential) return tell("This browser cannot use passkeys here: it needs https with a certificate that it trusts, or localhost.");
  try {
    begun = await ask("/api/v1/passkeys/options", { ticket });
  } catch (error) {
    element("purpose").textContent = "";
    return tell(reasonOf(error));
  }
  const [title, purpose] = TITLES[begun.kind];
  element("title").textContent = title;
  element("purpose").textContent = purpose(begun.user);
  element("network").textContent = begun.network;
  element("server").textContent = location.host;
  for (const id of ["facts", "warning", "use"]) element(id).hidden = false;
  element("use").textContent = begun.kind === "registration" ? "Make a passkey" : "Use a passkey";
  element("use").focus();
}

async function use() {
  element("use").disabled = true;
  tell("", "Follow your browser …");
  try {
    const credential = await credentialFor(begun);
    const { code } = await ask("/api/v1/passkeys/answer", { ticket, credential });
    element("code").textContent = `${code.slice(0, 4)}-${code.slice(4)}`;
    for (const id of ["use", "warning"]) element(id).hidden = true;
    element("result").hidden = false;
    tell("", "Done. This page can be closed once the code is typed.");
    element("copy").focus();
  } catch (error) {
    const why = reasonOf(error);
    await load(); // a challenge is good once
    tell(why);
  }
  element("use").disabled = false;
}

async function copy() {
  try {
    await navigator.clipboard.writeText(element("code").textContent);
    tell("", "Copied.");
  } catch {
    tell("The browser does not let this page copy; mark the code yourself.");
  }
}

element("use").addEventListener("click", use);
element("copy").addEventListener("click", copy);
window.addEventListener("hashchange", () => location.reload());
load();
