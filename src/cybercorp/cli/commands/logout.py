"""`cybercorp logout`: end the session, and forget it here."""

from __future__ import annotations

import typer

from cybercorp.cli.groups import single
from cybercorp.cli.options import options_of
from cybercorp.cli.output.writers import say, tell
from cybercorp.core.errors import CyberCorpError, UnauthenticatedError
from cybercorp.security.display import safe_text

app = single("End the session.")


@app.command()
def logout(context: typer.Context) -> None:
    """End the session on the server, and forget its tokens here. The profile's address stays."""
    options = options_of(context)
    from cybercorp.client.profiles import forget_default
    from cybercorp.client.session_store import SessionStore

    profile = options.credential().profile or options.login_profile()
    store = SessionStore(profile)
    if store.load() is None:
        say(f"You are not logged in to {safe_text(profile)}.")
        return
    try:
        with options.client() as client:
            client.account.logout()
    except UnauthenticatedError:
        pass  # it was over already
    except CyberCorpError as error:
        say(f"The server could not be told: {safe_text(error.message)} Its session ends by itself within half an hour.")
    store.remove()
    forget_default(profile)
    tell(f"Logged out of {safe_text(profile)}.")
