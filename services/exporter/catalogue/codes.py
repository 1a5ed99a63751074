"""Codes of locales and currencies, as keys of objects: `{"fr_FR": "Chaise", "en_US": "Chair"}`.

Sources: languages are the two-letter codes of ISO 639-1, currencies the codes of ISO 4217 in use in 2026 (funds and
metals are left out).
"""

import re

_LANGUAGES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en"
    " eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv"
    " ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne"
    " ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st"
    " su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
_CURRENCIES = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY"
    " COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR"
    " ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK"
    " MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF"
    " SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU"
    " UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG"
)
LANGUAGES = frozenset(_LANGUAGES.split())
CURRENCIES = frozenset(_CURRENCIES.split())

LOCALE_PATTERN = f"^({'|'.join(sorted(LANGUAGES))})([_-][A-Z][a-z]{{3}})?([_-]([A-Z]{{2}}|[0-9]{{3}}))?$"
"""For JSON Schemas: what `is_locale` accepts."""

_LOCALE = re.compile(r"([a-z]{2})([_-][A-Z][a-z]{3})?([_-](?:[A-Z]{2}|[0-9]{3}))?", re.ASCII)


def is_locale(key: str) -> bool:
    """Whether a key is a language with or without a script and a region: `fr`, `fr_FR`, `zh-Hant-TW`."""
    found = _LOCALE.fullmatch(key)
    return found is not None and found[1] in LANGUAGES


def is_currency(key: str) -> bool:
    """Whether a key is the code of a currency: `EUR`."""
    return key in CURRENCIES


def keyed_by(keys: frozenset[str]) -> str:
    """What the keys of an object are: `locale`, `currency`, or neither (empty).

    A few languages look like names of fields (`id`, `is`), so one key of a locale must have a region or a script.
    """
    if keys and all(map(is_locale, keys)) and any(len(key) > 2 for key in keys):
        return "locale"
    return "currency" if keys and all(map(is_currency, keys)) else ""
