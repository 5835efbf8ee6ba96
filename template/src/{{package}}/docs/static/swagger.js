"use strict";
(() => {
  const box = document.getElementById("docs");
  SwaggerUIBundle({
    domNode: box,
    url: new URL(box.dataset.openapi, location.href).href,
    layout: "BaseLayout",
    presets: [SwaggerUIBundle.presets.apis],
    deepLinking: true,
    tryItOutEnabled: true,
    displayRequestDuration: true,
    filter: true,
    validatorUrl: null,
    queryConfigEnabled: false,
    defaultModelsExpandDepth: 0,
  });
})();
