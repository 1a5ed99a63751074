"""The config field for the certificate of a private certificate authority."""

import ssl
from typing import Annotated

from pydantic import AfterValidator, Field


def _certificate(text: str) -> str:
    try:
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError, TypeError) as exc:  # TypeError: it is not ASCII
        raise ValueError("is not a certificate in PEM form") from exc
    return text


CaCertificate = Annotated[str, Field(max_length=100_000), AfterValidator(_certificate)]
