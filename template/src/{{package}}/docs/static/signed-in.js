"use strict";
// Hands what the provider answered to the docs page that waits for it, and closes this window.
(() => {
  let waiting = null;
  try {
    waiting = window.opener && window.opener.swaggerUIRedirectOauth2;
  } catch {
    // Another origin opened this window.
  }
  if (!waiting) {
    document.getElementById("told").textContent = "No docs page waits for this. Close the window and authorize again.";
    return;
  }
  const { auth, state, redirectUrl, callback, errCb } = waiting;
  const answer = Object.fromEntries(new URLSearchParams(location.search));
  if (answer.state === state && answer.code) {
    delete auth.state;
    auth.code = answer.code;
    callback({ auth, redirectUrl });
  } else {
    const message = answer.state !== state ? "This sign-in was not started here." : answer.error_description || answer.error || "There is no code.";
    errCb({ authId: auth.name, source: "auth", level: "error", message });
  }
  window.close();
})();
