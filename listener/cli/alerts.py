"""`listener alerts`: the receiver in the foreground. It needs no project and no key of one."""

from __future__ import annotations

import asyncio
import signal

import aiohttp
import click

from listener.alerts.receiver import Receiver
from listener.alerts.settings import AlertSettings, load_alert_settings
from listener.alerts.whatsapp import WhatsApp
from listener.errors import ConfigError
from listener.http.server import serving
from listener.telemetry import log
from listener.telemetry.redact import hide_secrets


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve on; 0.0.0.0 in containers.")
@click.option("--port", default=9094, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
def alerts(host: str, port: int) -> None:
    """Tell Alertmanager's alerts to people by WhatsApp: POST /alertmanager, until SIGTERM.

    Set by WHATSAPP_TOKEN, WHATSAPP_PHONE_NUMBER_ID, WHATSAPP_TO and ALERTS_SECRET_FILE; how to get them is in
    docs/deployment.md. Exit status: 0, 78 wrong configuration.
    """
    settings = load_alert_settings()
    secret = settings.secret()
    hide_secrets([secret, settings.token.get_secret_value(), *settings.to])
    log.configure(settings.log_level)
    asyncio.run(_serve(host, port, secret, settings))


async def _serve(host: str, port: int, secret: str, settings: AlertSettings) -> None:
    told_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
    async with aiohttp.ClientSession() as session:
        receiver = Receiver(secret, settings.to, WhatsApp(settings, session))
        try:
            async with serving(host, port, receiver.routes()) as bound:
                log.get("alerts").info("alerts_started", port=bound, numbers=len(settings.to))
                await told_to_stop.wait()
        except OSError as error:
            raise ConfigError(f"cannot serve on {host}:{port}: {error.strerror}") from None
