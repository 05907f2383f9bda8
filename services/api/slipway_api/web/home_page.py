"""The page at `/` for people with a browser. It loads nothing, so the policy that forbids everything applies to it."""

from html import escape
from typing import Final

LINKS: Final = (
    ("/docs", "API documentation", "try the calls in the browser"),
    ("/openapi.json", "OpenAPI document", "for client generators"),
    ("/health/ready", "Readiness", "which models are served, and which are missing"),
    ("/models", "Models", "signatures, metrics and versions; needs a token"),
    ("/v2", "Open Inference Protocol v2", "for clients of KServe, Triton and MLServer"),
    ("/metrics", "Metrics", "for Prometheus; only for private addresses, unless opened"),
)


def home_page(version: str, root_path: str = "") -> str:
    """Return the page.

    Args:
        version: the service's version.
        root_path: the path of a proxy before the service's own, without a slash at its end.
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
<p>Version {escape(version)}. It predicts with the models that the registry&#8217;s alias Production points to.</p>
<ul>
{items}
</ul>
<p>To predict, get a token from <code>POST /token</code> and send it with <code>POST /predict</code>.</p>
</main>
</body>
</html>
"""
