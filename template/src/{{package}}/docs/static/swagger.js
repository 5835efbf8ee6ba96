"use strict";
(() => {
  const box = document.getElementById("docs");
  const absolute = (path) => new URL(path, location.href).href;
  const ui = SwaggerUIBundle({
    domNode: box,
    url: absolute(box.dataset.openapi),
    oauth2RedirectUrl: absolute(box.dataset.signedIn),
    layout: "BaseLayout",
    presets: [SwaggerUIBundle.presets.apis],
    deepLinking: true,
    tryItOutEnabled: true,
    displayRequestDuration: true,
    filter: true,
    validatorUrl: null,
    queryConfigEnabled: false,
    defaultModelsExpandDepth: 0,
    onComplete: () => {
      const schemes = ui.specSelectors.specJson().getIn(["components", "securitySchemes"]);
      const clientId = schemes?.map((scheme) => scheme.get("x-defaultClientId")).find(Boolean);
      ui.initOAuth({ clientId, usePkceWithAuthorizationCodeGrant: true });
    },
  });
})();
