"""Find columns that name a person directly: by the words of their names, and by what their values look like.

The kinds are those of the HIPAA Safe Harbor method, 45 CFR 164.514(b)(2)(i)(A)-(R). Two of them cannot be found this way and are for the owner
to declare: ages over 89, and identifiers that only their users recognise. Photographs and biometrics are found by column name only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rai_pipelines.tables.profile import comparable, kind_of

if TYPE_CHECKING:
    from rai_pipelines.tables.source import TableSource

# Words of a column name, in sequence. A phrase hits when its words stand next to each other; `=` in front: they are the whole name.
PHRASES: Mapping[str, tuple[str, ...]] = {
    "name": (
        "=name", "first name", "last name", "middle name", "full name", "given name", "family name", "maiden name", "legal name", "birth name",
        "firstname", "lastname", "fullname", "surname", "forename", "fname", "lname", "patient name", "customer name", "client name",
        "person name", "applicant name", "employee name", "student name", "member name", "user name", "username", "contact name", "owner name",
        "holder name", "borrower name", "name first", "name last",
    ),
    "geographic": (
        "address", "street", "zip", "zipcode", "zip code", "postal code", "postcode", "postalcode", "city", "county", "precinct", "latitude",
        "longitude", "lat", "lon", "lng", "geocode", "census tract", "census block", "block group",
    ),
    "date": (
        "dob", "birthdate", "birthday", "birth date", "birth day", "date birth", "date of birth", "death date", "date death", "date of death",
        "admission date", "date admission", "discharge date", "date discharge", "admit date",
    ),
    "phone": ("phone", "telephone", "phone number", "phonenumber", "mobile number", "cell number", "cellphone", "msisdn"),
    "fax": ("fax", "fax number"),
    "email": ("email", "e mail", "email address", "emailaddress", "e mail address"),
    "social_security_number": (
        "ssn", "social security", "social security number", "national id", "national insurance", "nino", "tax id", "itin", "tin",
    ),
    "medical_record_number": ("mrn", "medical record", "medical record number", "nhs number"),
    "health_plan_beneficiary_number": (
        "beneficiary number", "beneficiary id", "health plan number", "health plan id", "insurance number", "insurance id", "policy number", "mbi",
    ),
    "account_number": ("account number", "account no", "account id", "accountnumber", "iban", "card number", "credit card number", "cardnumber"),
    "certificate_or_license_number": (
        "license number", "licence number", "license no", "licence no", "drivers license", "driver license", "driving licence", "certificate number",
        "passport", "passport number",
    ),
    "vehicle_identifier": ("vin", "license plate", "licence plate", "plate number", "vehicle id", "vehicle identification number"),
    "device_identifier": ("mac address", "imei", "imsi", "device id", "device serial", "serial number", "advertising id", "idfa", "gaid"),
    "url": ("url", "homepage", "website", "web site", "web address"),
    "ip_address": ("ip", "ip address", "ipaddress", "ipv4", "ipv6"),
    "biometric_identifier": (
        "fingerprint", "finger print", "voiceprint", "voice print", "retina scan", "iris scan", "iris code", "faceprint", "face embedding",
    ),
    "photograph": ("photo", "photograph", "face image", "selfie", "portrait"),
    "other_unique_identifier": (
        "customer id", "client id", "patient id", "person id", "user id", "member id", "employee id", "student id", "applicant id", "borrower id",
        "subject id", "citizen id", "customer number", "client number", "patient number", "person number", "member number", "employee number",
        "student number", "personal number", "customerid", "patientid", "userid", "personid", "customer key", "person key",
    ),
}  # fmt: skip

# Presidio entity -> kind, and the least score that counts: weak patterns (nine digits that may be a passport) need context that a cell lacks.
ENTITIES: Mapping[str, tuple[str, float]] = {
    "EMAIL_ADDRESS": ("email", 1.0),
    "PHONE_NUMBER": ("phone", 0.4),
    "US_SSN": ("social_security_number", 0.5),
    "US_ITIN": ("social_security_number", 0.5),
    "CREDIT_CARD": ("account_number", 1.0),
    "IBAN_CODE": ("account_number", 1.0),
    "IP_ADDRESS": ("ip_address", 0.6),
    "MAC_ADDRESS": ("device_identifier", 0.6),
    "MEDICAL_LICENSE": ("certificate_or_license_number", 1.0),
    "URL": ("url", 0.6),
}
TEXT_LIMIT = 2_000  # characters of a value that are read
SHORTEST = 6  # characters; a@b.co and 1.1.1.1 are the shortest identifiers that are looked for
ZIP_PLUS_4 = re.compile(r"[0-9]{5}-[0-9]{4}")
ZIP_3 = re.compile(r"zip(_?code)?[ _-]?3", re.IGNORECASE)  # the first three digits are allowed, 45 CFR 164.514(b)(2)(i)(B)


@dataclass(frozen=True)
class ContentHit:
    """A column in whose values patterns of one kind were found: `matched` of `scanned` rows."""

    column: str
    kind: str
    matched: int
    scanned: int


@dataclass(frozen=True)
class ContentScan:
    """What was found, the rows and distinct values scanned per text column, and the columns of which not every value was scanned."""

    hits: tuple[ContentHit, ...]
    scanned: Mapping[str, tuple[int, int]]
    partial: tuple[str, ...]


def kind_by_name(column: str) -> str | None:
    """The Safe Harbor kind that the words of a column name say, or None.

    Words are split at punctuation, spaces, digits and changes of case; they must match whole (`statename` and `zipper` name nothing).
    The longest phrase wins: `email_address` is an email, `home_address` a place.
    """
    if ZIP_3.fullmatch(column):
        return None
    words = words_of(column)
    best: tuple[int, str] | None = None
    for kind, phrases in PHRASES.items():
        for phrase in phrases:
            wanted = phrase.removeprefix("=").split()
            hit = words == wanted if phrase.startswith("=") else _contains(words, wanted)
            if hit and (best is None or len(wanted) > best[0]):
                best = (len(wanted), kind)
    return best[1] if best else None


def words_of(column: str) -> list[str]:
    """The words of a column name in lower case, split at punctuation, spaces, digits and changes of case."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", column)
    return re.findall(r"ipv[46]|[^\W\d_]+", spaced.lower())


def scan_content(source: TableSource, columns: Sequence[str], *, values: int, seed: int) -> ContentScan:
    """Run Presidio's pattern recognizers over up to `values` distinct values of each text column among `columns`.

    Lists, structures, JSON and other values that are neither numbers nor times count as the texts that the engine writes of them.
    When a column has more, the ones scanned are drawn by the order of a keyed digest (MD5 of seed and value), so that they are the same on
    every machine whatever the order of rows. Recognizers are used one by one, without a language model and without the network.

    Raises:
        ImportError: presidio-analyzer is not installed.
        DataError: the engine refuses.
    """
    recognizers = pattern_recognizers()
    hits: list[ContentHit] = []
    scanned: dict[str, tuple[int, int]] = {}
    partial = []
    for column in columns:
        if kind_of(source.table().schema()[column]) not in {"text", "other"}:
            continue
        drawn, complete = _distinct_values(source, column, values, seed)
        rows = sum(count for _, count in drawn)
        scanned[column] = (rows, len(drawn))
        if not complete:
            partial.append(column)
        matched: dict[str, int] = {}
        for text, count in drawn:
            for kind in kinds_in(text[:TEXT_LIMIT], recognizers):
                matched[kind] = matched.get(kind, 0) + count
        hits += [ContentHit(column, kind, matched[kind], rows) for kind in sorted(matched)]
    return ContentScan(hits=tuple(hits), scanned=scanned, partial=tuple(partial))


def _contains(words: Sequence[str], wanted: Sequence[str]) -> bool:
    width = len(wanted)
    return any(list(words[start : start + width]) == list(wanted) for start in range(len(words) - width + 1))


def _distinct_values(source: TableSource, column: str, values: int, seed: int) -> tuple[list[tuple[str, int]], bool]:
    """At most `values` distinct values with their row counts, and whether these are all."""
    import ibis

    md5 = ibis.udf.scalar.builtin(_md5, name="md5")
    present = comparable(source, [column]).rename(value="c0")
    present = present.filter(present.value.notnull())
    counted = present.group_by("value").aggregate(rows=present.count())
    keyed = counted.mutate(key=md5(ibis.literal(f"{seed}:") + counted["value"]))
    frame = source.run(keyed.order_by("key").limit(values + 1))
    pairs = [(str(value), int(rows)) for value, rows in zip(frame["value"], frame["rows"], strict=True)]
    return pairs[:values], len(pairs) <= values


def _md5(text: str) -> str:
    """Stands for the function of that name that DuckDB and PostgreSQL have; it only shuffles here."""
    raise NotImplementedError


def kinds_in(text: str, recognizers: Iterable[Any]) -> set[str]:
    """Kinds of identifiers in one text."""
    kinds: set[str] = set()
    if len(text.strip()) < SHORTEST:
        return kinds
    if ZIP_PLUS_4.fullmatch(text.strip()):  # telephone recognizers take it for a number
        return {"geographic"}
    for recognizer in recognizers:
        for result in recognizer.analyze(text, recognizer.supported_entities, None):
            kind, least = ENTITIES[result.entity_type]
            if result.score >= least:
                kinds.add(kind)
    return kinds


def pattern_recognizers() -> list[Any]:
    """Presidio's recognizers that need neither a language model nor the network."""
    from presidio_analyzer import predefined_recognizers as known
    from tldextract import TLDExtract

    # The stock recognizer checks the domain through a list that it downloads: the answer would depend on the network.
    suffixes = TLDExtract(suffix_list_urls=(), cache_dir=None)

    email = known.EmailRecognizer()
    email.validate_result = lambda text: bool(suffixes(text).domain and suffixes(text).suffix)
    # "FE" and "UK" of the default are no region codes. Strict grouping keeps ZIP+4 codes and number ranges from reading as telephone numbers.
    phone = known.PhoneRecognizer(supported_regions=("US", "GB", "DE", "FR", "IN", "BR"), leniency=2)
    return [
        email, phone, known.UsSsnRecognizer(), known.UsItinRecognizer(), known.CreditCardRecognizer(), known.IbanRecognizer(),
        known.IpRecognizer(), known.MacAddressRecognizer(), known.MedicalLicenseRecognizer(), known.UrlRecognizer(),
    ]  # fmt: skip
