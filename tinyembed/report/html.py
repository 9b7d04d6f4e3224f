"""A self-contained HTML page: pictures and style are embedded."""

import base64
import html
from pathlib import Path

from tinyembed.report.blocks import to_html

# The policy makes a browser refuse scripts, and anything loaded from elsewhere.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d5dae0;
  --paper: #ffffff; --band: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e6ea; --soft: #9aa4af; --line: #3a424c; --paper: #14181d; --band: #1d232a; }
}
body { max-width: 74rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.55 system-ui, sans-serif; }
p, li { max-width: 46rem; }
h1 { font-size: 1.7rem; line-height: 1.25; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-top: .8rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
.wide { overflow-x: auto; margin: 1rem 0 1.4rem; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding: 0 0 .4rem; max-width: 46rem; }
th, td { padding: .28rem .6rem; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid var(--line); vertical-align: bottom; font-weight: 600; }
td { border-bottom: 1px solid var(--line); }
tbody tr:nth-child(even) { background: var(--band); }
.number { text-align: right; }
td.number { white-space: nowrap; }
td:first-child { min-width: 12.5rem; }
figure { margin: 1.2rem 0; }
img { display: block; max-width: min(100%, 64rem); height: auto; background: #ffffff;
  border-radius: 6px; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .4rem; max-width: 46rem; }
pre { background: var(--band); padding: .7rem .9rem; overflow-x: auto; font-size: .82rem;
  border-radius: 6px; }
"""


def html_page(title, blocks, folder):
    """The whole page as text. folder: where the pictures are."""
    body = to_html(blocks, lambda file: _data_uri(Path(folder) / file))
    return PAGE.format(title=html.escape(title), style=STYLE, body=body)


def _data_uri(path):
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
