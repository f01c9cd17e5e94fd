"""Who is in control: one browser at most, and everybody sees which."""

from policy.errors import InputError


class Control:
    """Numbers of browsers in, one of them in control. The emergency stop is everybody's and not asked for here."""

    def __init__(self) -> None:
        self.holder: int | None = None

    def join(self, browser: int) -> None:
        """A browser has connected: it is in control if nobody else is."""
        if self.holder is None:
            self.holder = browser

    def take(self, browser: int) -> int | None:
        """Take control, from somebody else too; returns who had it."""
        before, self.holder = self.holder, browser
        return before

    def release(self, browser: int) -> None:
        """Give control back; it stays free until somebody takes it."""
        self.require(browser)
        self.holder = None

    def leave(self, browser: int) -> bool:
        """A connection is lost; returns whether it was the one in control."""
        if self.holder != browser:
            return False
        self.holder = None
        return True

    def require(self, browser: int) -> None:
        """`InputError` for a browser that only watches."""
        if self.holder != browser:
            raise InputError("you are watching; take control first")
