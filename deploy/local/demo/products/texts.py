"""Product texts in three languages: web texts with HTML, print texts with line breaks."""

from deploy.local.demo.products.seeded_random import SeededRandom

Words = dict[str, str]
"""A text by locale."""

LOCALES = ("en_GB", "de_DE", "fr_FR")


def words(*by_locale: str) -> Words:
    """English, German, French."""
    return dict(zip(LOCALES, by_locale, strict=True))


STYLES = (
    words("Classic", "Klassisch", "Classique"),
    words("“Urban”", "„Urban“", "« Urbain »"),
    words('2" Pro', "5 cm Pro", "5 cm Pro"),
    words("Élan", "Élan", "Élan"),
    words("Summer & Sea", "Sommer & Meer", "Été & Mer"),
    words("Größe+", "Größe+", "Größe+"),
    words("Light ✨", "Leicht ✨", "Léger ✨"),
    words("No. 5, natural", "Nr. 5, natur", "N° 5, naturel"),
)
OPENINGS = (
    words("Made to be used every day.", "Für jeden Tag gemacht.", "Fait pour tous les jours."),
    words(
        "Our bestseller – now with 20% less packaging.",
        "Unser Bestseller – jetzt mit 20 % weniger Verpackung.",
        "Notre best-seller – désormais avec 20 % d’emballage en moins.",
    ),
    words('Tested, and rated "very good".', 'Geprüft, Urteil: "sehr gut".', 'Testé, jugé "très bien".'),
    words(
        "It's simply well made; nothing else.", "Einfach gut gemacht; sonst nichts.", "C'est bien fait ; rien d'autre."
    ),
    words(
        "A gift for the whole family 👨‍👩‍👧‍👦",
        "Ein Geschenk für alle 👨‍👩‍👧‍👦",
        "Un cadeau pour toute la famille 👨‍👩‍👧‍👦",
    ),
)
POINTS = (
    words("Guaranteed for 2 years", "2 Jahre Garantie", "Garanti 2 ans"),
    words(
        "Ships within 24 h <b>free</b> of charge", "Versand in 24 h, <b>kostenlos</b>", "Livré en 24 h, <b>gratuit</b>"
    ),
    words("Width < height; 3 > 2", "Breite < Höhe; 3 > 2", "Largeur < hauteur ; 3 > 2"),
    words("Care: 30 °C, do not bleach", "Pflege: 30 °C, nicht bleichen", "Entretien : 30 °C, sans javel"),
    words(
        "Spare parts: www.example.com/?a=1&b=2",
        "Ersatzteile: www.example.com/?a=1&b=2",
        "Pièces : www.example.com/?a=1&b=2",
    ),
    words(
        "Contains _x0041_ and C:\\new\\table",
        "Enthält _x0041_ und C:\\new\\table",
        "Contient _x0041_ et C:\\new\\table",
    ),
)
REMARKS = (
    "=SUM(A1:A9) is not a formula here",
    "+49 30 1234567 (after sales)",
    "-5 °C to +40 °C",
    "@warehouse: check the label\tagain",
    "  kept with its blanks  ",
    'two\n\nparagraphs, and a "quoted; part"',
    "中文说明 · Ελληνικά · עברית",
    "true",
    "0012",
    "1e5",
    "",
)
"""Texts that careless exporters misinterpret."""


def description(rng: SeededRandom, noun: Words) -> dict[str, dict[str, str]]:
    """Texts by locale and medium; translations may be missing, English never is."""
    opening, points = rng.pick(OPENINGS), rng.some(POINTS, 4)
    locales = [locale for locale in LOCALES if locale == "en_GB" or rng.chance(0.85)]
    line = "\r\n" if rng.chance(0.1) else "\n"
    found = {locale: {"web": _web(opening[locale], noun[locale], [p[locale] for p in points])} for locale in locales}
    for locale in locales:
        if rng.chance(0.7):
            found[locale]["print"] = line.join([opening[locale], *(f"• {point[locale]}" for point in points)])
    return found


def _web(opening: str, noun: str, points: list[str]) -> str:
    items = "".join(f"\n  <li>{point}</li>" for point in points)
    return f'<p class="lead">{opening} <em>{noun}</em></p>' + (f"\n<ul>{items}\n</ul>" if items else "")
