"""Overdue decisions reach people over a real mail server and a real webhook: once a person and step, in order, after outages too."""

from __future__ import annotations

import ssl
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rai_pipelines.errors import SettingsError
from rai_pipelines.governance.cases.book import CaseBook
from rai_pipelines.governance.cases.case import CaseRequest, CaseState
from rai_pipelines.governance.database.tables import escalations
from rai_pipelines.governance.decisions.statement import Words
from rai_pipelines.governance.escalation.escalate import escalate
from rai_pipelines.governance.escalation.notices import Channels, NotTold, notice_deliveries, post_webhook, send_mail
from rai_pipelines.governance.outbox import drain
from rai_pipelines.policy.model import Severity
from rai_pipelines_tests.governance.escalation.receivers import Receiver, mail_server, webhook
from rai_pipelines_tests.governance.office import Office


class Channelled:
    """An office with a mail server and a webhook."""

    def __init__(self, office: Office, smtp: str, hook: str, mails: Receiver, posts: Receiver) -> None:
        self.office, self.mails, self.posts = office, mails, posts
        self.channels = Channels(smtp, hook)
        next(person for person in office.people if person["id"] == "owner")["deputy"] = "second-validator"
        office.people.append({"id": "chair", "name": "chair", "mail": "chair@example.org", "roles": ["board"]})

    def round(self) -> list[tuple[str, int]]:
        """What `rounds.go_round` does about escalation: (role, notices) of each step taken, and everything delivered that can be."""
        taken = escalate(self.office.keeper, self.channels)
        drain(self.office.engine, notice_deliveries(self.channels), now=self.office.clock.now)
        return [(item.step.role, item.notices) for item in taken]

    def recipients(self) -> list[str]:
        return [next(line[4:] for line in mail.splitlines() if line.startswith("To: ")) for mail in self.mails.got]


@pytest.fixture
def told(engine: sa.Engine, tmp_path: Path) -> Iterator[Channelled]:
    mails, posts = Receiver(), Receiver()
    with mail_server(mails) as smtp, webhook(posts) as hook:
        yield Channelled(Office(engine, tmp_path), smtp, hook, mails, posts)


def test_a_review_that_waits_goes_from_owner_to_deputy_to_officer_to_board(told: Channelled) -> None:
    told.office.audited()
    assert told.round() == []
    roles = []
    for _ in range(40):
        told.office.clock.advance(days=1)
        roles += [role for role, _ in told.round()]
    assert roles == ["owner", "deputy", "ethics_officer", "board"]
    assert told.recipients() == ["owner@example.org", "second-validator@example.org", "officer@example.org", "chair@example.org"]
    assert len(told.posts.got) == 4 and "loans/1 is awaiting review" in told.posts.got[0]["text"]
    assert [entry.body["role"] for entry in told.office.keeper.ledger.entries() if entry.kind == "escalation"] == roles


def test_after_an_outage_every_step_is_caught_up_once_and_nobody_is_told_twice(told: Channelled) -> None:
    told.office.audited()
    told.office.clock.advance(days=40)
    assert len(told.round()) == 4
    assert told.round() == [] and len(told.mails.got) == 4
    late = [entry.body["minutes_late"] for entry in told.office.keeper.ledger.entries() if entry.kind == "escalation"]
    assert all(minutes > 0 for minutes in late), "that it was late is on record"


def test_a_mail_server_that_is_down_is_tried_again_and_the_mail_comes_once(told: Channelled) -> None:
    told.office.audited()
    told.office.clock.advance(days=20)
    told.mails.refuse = 7
    told.round()
    for _ in range(6):
        told.office.clock.advance(hours=1)
        drain(told.office.engine, notice_deliveries(told.channels), now=told.office.clock.now)
    assert sorted(told.recipients()) == sorted(set(told.recipients()))
    assert "owner@example.org" in told.recipients()


def test_what_is_decided_in_time_bothers_nobody_and_what_waits_again_begins_anew(told: Channelled) -> None:
    gate = told.office.audited()
    told.office.approve(gate, "validator", "risk-owner")
    told.office.clock.advance(days=366)
    told.office.keeper.sweep()
    assert told.round() == []
    told.office.clock.advance(days=7)
    assert told.round()[0][0] == "owner", "an approval that expired waits for somebody"


def test_a_critical_case_is_escalated_at_night_and_a_legal_report_before_it_is_due(told: Channelled) -> None:
    office = told.office
    book = CaseBook(office.engine, office.keeper.ledger)
    request = CaseRequest(
        key="k", kind="incident", severity=Severity.CRITICAL, title="A person was harmed", description="d", noticed_at=office.clock.now
    )
    case = book.request(request)
    office.clock.advance(hours=2)
    assert told.round() == [("owner", 1)], "only the webhook: nobody owns a case about no model"
    book.classify(case.id, "widespread_infringement", aware_at=office.clock.now)
    book.move(case.id, CaseState.RESOLVED, source="here")
    office.clock.advance(days=1, hours=14)
    assert told.round()[0][0] == "owner"
    assert "report on case 1 (widespread_infringement) is due on 2026-12-17" in told.posts.got[-1]["text"]
    book.reported(case.id)
    office.clock.advance(days=3)
    assert told.round() == []


def test_the_database_keeps_a_second_notice_out(told: Channelled) -> None:
    told.office.audited()
    told.office.clock.advance(days=40)
    told.round()
    with told.office.engine.begin() as connection:
        row = connection.execute(sa.select(escalations)).first()
        assert row is not None
        with pytest.raises(sa.exc.IntegrityError):
            connection.execute(escalations.insert().values(**{**row._mapping, "id": 999}))


def test_addresses_of_another_kind_are_refused_by_the_name_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAI_SMTP_URL", "RAI_WEBHOOK_URL"):
        monkeypatch.setenv(name, "ftp://user:hush@host")
        with pytest.raises(SettingsError, match=name) as caught:
            Channels.from_environment()
        assert "hush" not in str(caught.value)
        monkeypatch.delenv(name)
    assert Channels.from_environment().kinds == ()


def test_words_in_a_notice_are_no_markup_and_no_headers(told: Channelled) -> None:
    notice = {"id": "1", "to": "owner@example.org", "subject": "a\r\nBcc: everybody@example.org", "text": "<!channel> & <http://x|y>"}
    for kind, deliver in notice_deliveries(told.channels).items():
        deliver({**notice, "id": kind})
    assert told.posts.got[0]["text"].endswith("&lt;!channel&gt; &amp; &lt;http://x|y&gt;")
    assert "\nBcc:" not in told.mails.got[0]


NOTICE = {"id": "1", "to": "owner@example.org", "subject": "It waits", "text": "It waits for you"}


@pytest.fixture
def certified(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's side of TLS for 127.0.0.2, which is not this machine by its name, and the file of the authority that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.2")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.2"))]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate, secret = tmp_path / "mail.pem", tmp_path / "mail.key"
    certificate.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, secret)
    return context, certificate


def with_login(address: str) -> str:
    return address.replace("smtp://", "smtp://robot%40example.org:hu%2Fsh%23@")


def test_a_password_goes_to_a_server_that_offers_tls_and_proves_who_it_is(
    certified: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = Receiver()
    monkeypatch.setenv("SSL_CERT_FILE", str(certified[1]))
    with mail_server(mails, host="127.0.0.2", tls=certified[0]) as smtp:
        send_mail(Channels(with_login(smtp)), NOTICE)
    assert mails.logins == [("robot@example.org\0hu/sh#", True)] and len(mails.got) == 1


def test_a_password_goes_neither_into_the_clear_nor_to_a_server_that_proves_nothing(certified: tuple[ssl.SSLContext, Path]) -> None:
    mails = Receiver()
    for tls, said in ((None, "offers no STARTTLS"), (certified[0], "proves nothing")):
        with mail_server(mails, host="127.0.0.2", tls=tls) as smtp, pytest.raises(NotTold, match=said) as caught:
            send_mail(Channels(with_login(smtp)), NOTICE)
        assert "hu/sh#" not in str(caught.value) and "hu%2F" not in str(caught.value)
    assert mails.logins == [] and mails.got == []


def test_without_a_password_a_mail_is_encrypted_where_it_can_be(certified: tuple[ssl.SSLContext, Path]) -> None:
    mails = Receiver()
    for tls in (None, certified[0]):
        with mail_server(mails, host="127.0.0.2", tls=tls) as smtp:
            send_mail(Channels(smtp), NOTICE)
    assert len(mails.got) == 2 and all("\nDate: " in mail and "+0000" in mail for mail in mails.got)


def test_a_webhook_that_talks_without_end_has_taken_the_message_all_the_same(told: Channelled) -> None:
    told.posts.chatter = b"x" * 100_000
    began = time.monotonic()
    post_webhook(told.channels, NOTICE)
    assert len(told.posts.got) == 1 and time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAI_SMTP_URL", "smtp://robot:hush[1@mail.example.org"),
        ("RAI_SMTP_URL", "smtp://robot:hush#1@mail.example.org:587"),
        ("RAI_SMTP_URL", "smtp://robot:12/hush@mail.example.org:587"),
        ("RAI_SMTP_URL", "smtp://mail.example.org:hush"),
        ("RAI_SMTP_URL", "smtp://"),
        ("RAI_WEBHOOK_URL", "https://hooks.example.org:hush/services"),
        ("RAI_WEBHOOK_URL", "https:///services/hush"),
        ("RAI_MAIL_FROM", "hush\nBcc: everybody@example.org"),
    ],
)
def test_an_address_that_cannot_be_used_is_named_and_never_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        Channels.from_environment()
    shown = "".join(traceback.format_exception(caught.value))
    assert "hush" not in shown


def test_a_case_that_is_worked_on_has_the_deadline_of_that_state_and_one_opened_again_waits_anew(told: Channelled) -> None:
    office = told.office
    book = CaseBook(office.engine, office.keeper.ledger)
    case = book.request(CaseRequest(key="k", kind="incident", severity=Severity.CRITICAL, title="Harm", description="d", noticed_at=office.clock.now))
    office.clock.advance(hours=9)
    assert len(told.round()) == 4, "nobody has begun within 2 hours, nor within 8"
    book.move(case.id, CaseState.IN_PROGRESS, source="here")
    office.clock.advance(hours=23)
    assert told.round() == [], "24 hours for the work"
    book.move(case.id, CaseState.IN_PROGRESS, source="here", lesson=Words(meaning="A lesson on the way is no other state"))
    office.clock.advance(hours=2)
    assert [role for role, _ in told.round()] == ["owner"] and "is in progress: Harm" in told.posts.got[-1]["text"]
    book.move(case.id, CaseState.RESOLVED, source="here")
    office.clock.advance(days=90)
    book.move(case.id, CaseState.OPEN, source="jira")
    assert told.round() == []
    office.clock.advance(hours=2)
    assert [role for role, _ in told.round()] == ["owner"]


def test_a_report_that_is_classified_anew_is_warned_of_before_its_new_day(told: Channelled) -> None:
    office = told.office
    book = CaseBook(office.engine, office.keeper.ledger)
    case = book.request(CaseRequest(key="k", kind="incident", severity=Severity.LOW, title="Harm", description="d", noticed_at=office.clock.now))
    aware = office.clock.now
    book.classify(case.id, "widespread_infringement", aware_at=aware)
    book.move(case.id, CaseState.RESOLVED, source="here")
    office.clock.advance(days=3)
    assert len(told.round()) == 4
    book.classify(case.id, "serious_incident", aware_at=aware)
    office.clock.advance(days=10)
    assert told.round() == []
    office.clock.advance(days=3)
    assert len(told.round()) == 4 and "is due on 2026-12-30" in told.posts.got[-1]["text"]
