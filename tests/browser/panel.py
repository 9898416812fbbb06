"""A training panel as a person sees it: its buttons, its sliders, and what stands beside each control."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

#: The controls in the order of their rows.
_ROWS = ("Learning rate", "Batch size", "Clip gradients", "Clip at")


class Panel:
    """The training panel on `page`; of several, the one of that `number`."""

    def __init__(self, page: Page, number: int = 0) -> None:
        self.page = page
        self.bar = page.locator(".dlw-bar").nth(number)
        self.controls = page.locator(".dlw-controls").nth(number)

    @property
    def status(self) -> Locator:
        """The word for what the run does."""
        return self.bar.locator(".dlw-status")

    def button(self, name: str) -> Locator:
        """Return the button of that name; the page shows only those that fit the status."""
        return self.bar.get_by_role("button", name=name)

    def row(self, name: str) -> Locator:
        """Return a control with its label."""
        return self.controls.locator(".widget-inline-hbox, .widget-toggle-buttons").nth(_ROWS.index(name))

    def handle(self, name: str) -> Locator:
        """Return the handle of a slider."""
        return self.row(name).locator(".noUi-handle")

    def mode(self, name: str) -> Locator:
        """Return the button of a way to clip."""
        return self.row("Clip gradients").get_by_role("button", name=name, exact=True)

    def readout(self, name: str) -> Locator:
        """Return the number that a slider shows."""
        return self.row(name).locator(".widget-readout")

    def fact(self, name: str) -> Locator:
        """Return what stands under a control: what is in force, or why it is not."""
        return self.controls.locator(".dlw-fact").nth(_ROWS.index(name))

    def section(self, name: str) -> Locator:
        """Return a section that folds away, by its label."""
        return self.controls.locator(".dlw-sections-part > details").filter(
            has=self.page.locator(f"summary .dlw-section:text-is('{name}')")
        )

    def summary(self, name: str) -> Locator:
        """Return the line that opens and closes a section."""
        return self.section(name).locator("summary")

    def field(self, key: str) -> Locator:
        """Return a row of a section, by the name of its wish."""
        return self.controls.locator(f".dlw-field[data-key='{key}']")

    def entry(self, key: str) -> Locator:
        """Return what a person changes in a row."""
        return self.field(key).locator("select, input")

    def drag(self, name: str, share: float) -> None:
        """Drag a slider's handle with the mouse to a share of the slider's length."""
        self.handle(name).scroll_into_view_if_needed()
        start = self.handle(name).bounding_box()
        rail = self.row(name).locator(".noUi-base").bounding_box()
        assert start is not None and rail is not None
        y = start["y"] + start["height"] / 2
        self.page.mouse.move(start["x"] + start["width"] / 2, y)
        self.page.mouse.down()
        self.page.mouse.move(rail["x"] + share * rail["width"], y, steps=8)
        self.page.mouse.up()
