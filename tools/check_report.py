"""Open reports of an MLP, an LSTM and a GPT in Chromium, use them as a person would, and take screenshots.

Run: python tools/check_report.py [FOLDER]

The screenshots go to FOLDER, by default docs/pictures. It needs the package playwright (pip install '.[browser]') and
a Chromium: one on the path, or that of "playwright install chromium". The exit code is 1 if anything is wrong.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

import graphc as gr

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
SIZE: Any = {"width": 1500, "height": 940}

Made = tuple[gr.Function, list[Any]]


def example(name: str) -> Any:
    """A file of the examples as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def trained(inputs: Sequence[gr.Value], loss: gr.Value, model: gr.nn.Module) -> gr.Function:
    return gr.compile(inputs, loss, updates=gr.optim.AdamW(1e-3).updates(loss, model.parameters()))


def mlp() -> Made:
    x = gr.placeholder(("batch", 784), name="image")
    label = gr.placeholder(("batch",), "int64", name="label")
    model = gr.nn.Sequential(gr.nn.Linear(784, 256), gr.nn.ReLU(), gr.nn.Linear(256, 10))
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(64, 784)).astype(np.float32), rng.integers(0, 10, 64)]
    return trained([x, label], gr.cross_entropy(model(x), label), model), arrays


def lstm() -> Made:
    model = example("char_lstm").CharLSTM(65)
    ids = gr.placeholder(("batch", "time"), "int64", name="ids")
    target = gr.placeholder(("batch", "time"), "int64", name="target")
    zeros = gr.zeros((1, ids.shape[0], 256))
    logits, _ = model(ids, (zeros, zeros))
    loss = gr.cross_entropy(gr.reshape(logits, (-1, 65)), gr.flatten(target, 0))
    return trained([ids, target], loss, model), texts(8, 32)


def gpt() -> Made:
    model = example("gpt").GPT(65, 64, 64, 4, 4)
    ids = gr.placeholder(("batch", "time"), "int64", name="ids")
    target = gr.placeholder(("batch", "time"), "int64", name="target")
    loss = gr.cross_entropy(gr.reshape(model(ids), (-1, 65)), gr.flatten(target, 0))
    return trained([ids, target], loss, model), texts(8, 64)


def texts(batch: int, time: int) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 65, (batch, time)) for _ in range(2)]


def check(page: Page, picture: Callable[[str], str]) -> Iterator[str]:
    """Use a report; what is wrong with it."""
    for tab in ("written", "differentiated", "fused"):
        page.click(f"[data-tab={tab}]")
        yield from check_drawing(page, tab)
        item = page.locator(".item[data-item]:not(.output)").first
        item.click()
        if not page.is_visible("#panel") or "Written at" not in page.inner_text("#about"):
            yield f"{tab}: a click on {item.text_content()!r} shows no panel with the user's line"
        page.press("body", "Escape")
        if page.is_visible("#panel"):
            yield f"{tab}: Escape leaves the panel open"
    page.mouse.move(2, 2)
    page.screenshot(path=picture("graph"))

    page.press("body", "f")
    boxes = page.locator(".box").count()
    page.locator(".box .name").last.click()
    if page.locator(".box").count() >= boxes:
        yield "a click on the name of a box does not close it"
    page.press("body", "f")
    page.locator("[data-closed]").first.dblclick()
    if page.locator(".box").count() < boxes:
        yield "a double click on a closed box does not open it"
    yield from check_drawing(page, "after opening and closing")

    page.fill("#query", "matmul")
    if not page.locator("#found li").count():
        yield "the search for matmul finds nothing"
    page.press("#query", "Enter")
    if page.locator(".item.chosen .head").text_content() != "matmul":
        yield "the first result of a search is not chosen"
    about = page.inner_text("#about")
    for text in ("float32[", "def kernel(args, lo, hi):", "Its gradient", "memory", "time"):
        if text not in about:
            yield f"the panel of a product does not tell {text!r}"
    page.click("#heat")
    if not page.locator(".item.hot").count():
        yield "no node is coloured by its time"
    page.wait_for_timeout(100)
    page.screenshot(path=picture("node"))

    page.click("[data-tab=schedule]")
    page.locator(".step").nth(3).click()
    if "kernel" not in page.inner_text("#about"):
        yield "a click on a step shows no panel"
    page.locator(".block").first.hover(force=True)
    if page.is_hidden("#tip"):
        yield "pointing at a buffer shows no tip"
    page.mouse.move(2, 2)
    page.screenshot(path=picture("schedule"))
    page.get_by_text("Show in the graph").click()
    if not page.locator(".chosen").count():
        yield "a step is not found in the graph"

    page.click("[data-tab=passes]")
    count = page.locator("#pass option").count()
    for number in range(count):
        page.select_option("#pass", str(number))
        if page.locator(".pane").count() != 2:
            yield f"pass {number} does not show two graphs"
    page.select_option("#pass", str(count - 1))
    page.click("#theme")
    page.wait_for_timeout(100)
    page.screenshot(path=picture("pass"))


def check_drawing(page: Page, where: str) -> Iterator[str]:
    """Texts that leave their items, and items that overlap."""
    found: list[str] = page.evaluate(
        """() => {
          const wrong = [], items = [...document.querySelectorAll(".item[data-item],.item[data-closed]")];
          const frames = items.map((g) => g.querySelector(".shape").getBoundingClientRect());
          items.forEach((g, i) => {
            for (const text of g.querySelectorAll("text"))
              if (text.getBoundingClientRect().width > frames[i].width + 0.5) wrong.push("cut: " + text.textContent);
            for (let j = 0; j < i; j++) {
              const [a, b] = [frames[i], frames[j]];
              if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
                wrong.push("overlap: " + g.textContent + " and " + items[j].textContent);
            }
          });
          return wrong.slice(0, 5);
        }"""
    )
    yield from (f"{where}: {text}" for text in found)


def opened(browser: Browser, path: Path, wrong: list[str]) -> Page:
    """A report in a page of its own, which notes errors and requests."""
    page = browser.new_page(viewport=SIZE, color_scheme="light")
    page.on(
        "console", lambda said: wrong.append(f"console: {said.text}") if said.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on(
        "request", lambda request: wrong.append(f"asks for {request.url}") if request.url != path.as_uri() else None
    )
    page.goto(path.as_uri())
    return page


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for name, build in (("mlp", mlp), ("lstm", lstm), ("gpt", gpt)):
            function, arguments = build()
            path = function.report(Path(temporary) / f"{name}.html", arguments, title=name.upper())
            wrong: list[str] = []
            page = opened(browser, path, wrong)

            def picture(what: str, name: str = name) -> str:
                return str(folder / f"report-{name}-{what}.png")

            wrong += check(page, picture)
            page.close()
            print(f"{name}: {path.stat().st_size / 1024:,.0f} KiB, {len(wrong)} wrong")
            for text in wrong:
                print(f"  {text}")
            failed = failed or bool(wrong)
        browser.close()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
