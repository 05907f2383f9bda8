"""The HTML page at `/`. It loads no resources, so the strictest content security policy applies to it."""

from html import escape
from typing import Final

LINKS: Final = (
    ("/docs", "API documentation", "try the calls in the browser"),
    ("/openapi.json", "OpenAPI document", "input for client generators"),
    ("/health/ready", "Readiness", "which models are served, and which are missing"),
    ("/models", "Models", "signatures, metrics and versions; needs a token"),
    ("/v2", "Open Inference Protocol v2", "for clients of KServe, Triton and MLServer"),
    ("/metrics", "Metrics", "for Prometheus; restricted to private addresses by default"),
)


def home_page(version: str, root_path: str = "") -> str:
    """Return the page as HTML.

    Args:
        version: the service's version.
        root_path: the path prefix of a reverse proxy, without a trailing slash.
    """
    items = "\n".join(
        f'<li><a href="{escape(root_path + path)}">{name}</a>: {purpose}</li>' for path, name, purpose in LINKS
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Slipway inference API</title>
</head>
<body>
<main>
<h1>Slipway inference API</h1>
<p>Version {escape(version)}. Predictions from the registry&#8217;s Production models.</p>
<ul>
{items}
</ul>
<p>To predict, get a token from <code>POST /token</code> and send it with <code>POST /predict</code>.</p>
</main>
</body>
</html>
"""
