"""How long a person waits: from a key to the loop, from a step to the page."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from .panel import Panel

#: The page's own clock in seconds since the epoch, which is the kernel's too.
_NOW = "(performance.timeOrigin + performance.now()) / 1000"


def test_a_key_on_the_slider_comes_into_force(desk, measured):
    desk.run_cell(
        "session = new_session(); stamps = []\n"
        "session.observe(lambda change: stamps.append(time.time()), 'applied')\n"
        "board = dlw.Dashboard(session, show='full'); board"
    )
    desk.kernel.execute("session.start()")
    desk.wait_until("session.steps > 3")
    page = desk.page
    page.evaluate(f"""() => {{ window.pressed = [];
        window.addEventListener("keydown", (event) => {{ if (event.isTrusted) window.pressed.push({_NOW}); }}, true); }}""")
    panel = Panel(page)
    fact = panel.fact("Learning rate")
    panel.handle("Learning rate").focus()
    for number in range(30):
        before = fact.inner_text()
        page.keyboard.press("ArrowRight" if number % 2 else "ArrowLeft")
        # The page is asked, not the kernel: whoever asks that keeps it from the key.
        expect(fact).not_to_have_text(before)
        expect(fact).to_have_text(re.compile("^in force"))
    pressed, stamps = page.evaluate("() => window.pressed"), desk.kernel_eval("stamps")
    assert len(pressed) == len(stamps) == 30
    waits = [there - here for here, there in zip(pressed, stamps)]
    # A key that comes in the middle of a step waits for its end.
    seconds = desk.kernel_eval(
        "[float(session.record.columns['seconds'].values[entry.step - 1]) for entry in session.changes][-30:]"
    )
    measured("key on the slider -> in force", waits)
    measured("  of which the step under way takes", seconds)
    measured("  beyond that step", [max(0.0, wait - step) for wait, step in zip(waits, seconds)])


def test_a_step_is_seen(desk, measured):
    desk.page.set_viewport_size({"width": 1280, "height": 1800})
    desk.run_cell(
        "session = new_session(); done = []\n"
        "hook = session.optimizer.register_step_post_hook(lambda *_: done.append(time.time()))\n"
        "board = dlw.Dashboard(session, show='full'); board"
    )
    figure = desk.page.locator(".dlw-head-part .dlw-figure").nth(1)
    expect(figure).to_have_text("step 0")
    figure.evaluate(f"""(figure) => {{ window.seen = [];
        new MutationObserver(() => window.seen.push([{_NOW}, Number(figure.textContent.replace(/\\D/g, ""))]))
            .observe(figure, {{ childList: true, characterData: true, subtree: true }}); }}""")
    desk.kernel.execute("session.start()")
    desk.wait_until("session.steps > 20")
    begin = desk.kernel_eval("session.steps")
    desk.wait_until(f"session.steps > {begin + 80}", timeout=90)
    seen, done = desk.page.evaluate("() => window.seen"), desk.kernel_eval("done")
    waits = []
    for number, when in enumerate(done, 1):
        first = next((moment for moment, step in seen if step >= number), None)
        if number >= begin and first is not None:
            waits.append(first - when)
    assert len(waits) > 50
    measured("a step done -> seen, whole dashboard", waits)
