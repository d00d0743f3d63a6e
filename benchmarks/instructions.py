"""What labkit's own blocks cost: parsing and rendering a lab of 200 pages, against bare markdown-it-py with the same
highlighter and sanitiser on the same text. Then what a check costs, on ten real machines, against plain ssh
(`checks.py`). Goal: 1.5 times at most, both. Ends with status 1 where one is missed.

    python benchmarks/instructions.py [--rounds 7] [--machines 10]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from markdown_it import MarkdownIt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from labkit.instructions import render
from labkit.instructions.highlight import highlight
from labkit.instructions.sanitise import sanitise

PAGES, GOAL = 200, 1.5
PAGE = """# Page {number}

Good morning, {{{{ learner }}}}. The machine **box** is *theirs*, and `sudo` makes you root in it. Nobody has told
you what happened, because nobody knows; see [the manual](https://example.org/m?page={number}) and the picture.

![A browser and a machine](media/path.svg){{width=400}}

> [!TIP]
> A log is read from its end, and then backwards until it makes sense.

## Look at it {{#look-{number} points=2}}

```sh {{run=box}}
for name in $(ls /etc | head -n {number}); do
  echo "$name"   # one line each
done
```

| name | what it is |
|---|:-:|
| `ps` | what runs |
| `ss` | who listens |

:::hint How do I find it?
Let `grep` look through it: `ps | grep 8080`{{type=box}}.
:::

## Repair it {{#repair-{number} points=8}}

1. Stop the *old* one.
2. Start the new one[^1].

```yaml
machines:
  - name: box
    image: {{bundled: tiny}}
```

[^1]: It takes a moment.

:::quiz {{#port-{number} points=1}}
Which port is it?

- [ ] 22
- [x] 8080
:::
"""


def bare() -> Callable[[str], str]:
    """markdown-it-py with nothing of ours but what highlights and what sanitises."""
    md = MarkdownIt("commonmark", {"highlight": lambda code, language, _: highlight(code, language)})
    md.enable(["table", "strikethrough"])
    return lambda text: sanitise(md.render(text))


def seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()  # this thread does all of it: what else the machine does is not counted
    work()
    return time.process_time() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--machines", type=int, default=10, help="0: without checks on machines")
    given = parser.parse_args()
    missed = texts(given.rounds)
    if given.machines:
        from benchmarks import checks

        missed |= checks.main(given.machines, min(given.rounds, 5))
    return missed


def texts(rounds: int) -> int:
    """Parse and render 200 pages; 1 where the goal is missed."""
    pages = [(f"{number}.md", PAGE.format(number=number)) for number in range(1, PAGES + 1)]
    peer = bare()
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):  # in turns, so that what else the machine does meets both
        theirs.append(seconds(lambda: [peer(text) for _, text in pages]))
        ours.append(seconds(lambda: render(pages, variables={"learner": "Ada"}, checks=(), seed="s")))
    one, other = statistics.median(ours), statistics.median(theirs)
    ratio = one / other
    print(f"{PAGES} pages, {sum(len(text) for _, text in pages)} letters, median of {rounds} rounds")
    print(f"labkit            {one * 1000:8.0f} ms  ({one / PAGES * 1000:.2f} ms a page)")
    print(f"bare markdown-it  {other * 1000:8.0f} ms  ({other / PAGES * 1000:.2f} ms a page)")
    print(f"ratio {ratio:.2f}, goal {GOAL}: {'met' if ratio <= GOAL else 'MISSED'}")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
