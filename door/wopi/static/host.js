// Runs an editor in a frame: creates the frame, posts the token into it, and
// answers the editor's messages.
"use strict";

(() => {
  const config = JSON.parse(document.getElementById("config").textContent);
  const notice = document.getElementById("notice");

  // The frame is made by script: a static one is loaded twice and misbehaves
  // with the browser's back button.
  const frame = document.createElement("iframe");
  frame.name = "office_frame";
  frame.id = "office_frame";
  frame.title = config.title;
  frame.allowFullscreen = true;
  frame.setAttribute("allow", "clipboard-read *; clipboard-write *");
  frame.setAttribute("sandbox", "allow-scripts allow-same-origin allow-forms allow-popups allow-top-navigation allow-popups-to-escape-sandbox allow-downloads allow-modals");
  document.getElementById("frame").appendChild(frame);

  const form = document.getElementById("office_form");
  form.action = config.action;
  form.elements.access_token.value = config.token;
  form.elements.access_token_ttl.value = String(config.ttl);
  form.submit();

  // What the editor remembers of its last session must not be used twice.
  const url = new URL(location.href);
  url.searchParams.delete("wdPreviousSession");
  url.searchParams.delete("wdPreviousCorrelation");
  history.replaceState(null, "", url);

  let editorOrigin = "";

  function send(id, values) {
    if (!editorOrigin) return;
    frame.contentWindow.postMessage(JSON.stringify({ MessageId: id, SendTime: Date.now(), Values: values || {} }), editorOrigin);
  }

  function say(text) {
    notice.textContent = text;
    notice.hidden = !text;
  }

  const handlers = {
    App_LoadingStatus(values) {
      send("Host_PostmessageReady");
      document.documentElement.dataset.editor = values.Status || "Frame_Ready";
    },
    UI_Close() { location.assign(config.close); },
    close() { location.assign(config.close); },
    UI_Edit() { if (config.edit) location.assign(config.edit); },
    File_Rename(values) { if (values.NewName) document.title = values.NewName; },
    UI_Sharing() { say("Share this document with 'quire' on the command line or through the file API."); },
    UI_FileVersions() { say("Earlier versions are listed by 'quire history' and the file API."); },
  };

  window.addEventListener("message", (event) => {
    if (event.source !== frame.contentWindow || !config.origins.includes(event.origin)) return;
    let message;
    try {
      message = typeof event.data === "string" ? JSON.parse(event.data) : event.data;
    } catch {
      return;
    }
    if (!message || typeof message.MessageId !== "string") return;
    editorOrigin = event.origin;
    if (Object.hasOwn(handlers, message.MessageId)) handlers[message.MessageId](message.Values || {});
  });

  // A token must not expire under an open editor.
  async function renew() {
    try {
      const answer = await fetch(config.renew, { method: "POST", headers: { "X-Quire-Form": config.form }, credentials: "same-origin" });
      if (!answer.ok) throw new Error(String(answer.status));
      const next = await answer.json();
      send("Reset_Access_Token", { token: next.token, token_ttl: String(next.ttl) });
      config.ttl = next.ttl;
      say("");
      plan();
    } catch {
      say("Your session ends soon. Save your work and open the document again.");
      setTimeout(renew, 60000);
    }
  }

  function plan() {
    if (!config.form) return;
    const left = config.ttl - Date.now() - 10 * 60 * 1000;
    setTimeout(renew, Math.min(Math.max(left, 1000), 0x7fffffff));
  }
  plan();
})();
