"""A mail server with TLS and AUTH, by aiosmtpd; and a reader of messages, by the standard library.

mail_server.py tls|starttls CERTIFICATE KEY USER PASSWORD: prints its port, then each letter as a line of JSON.
mail_server.py read FILE: prints the message in the file as JSON.
"""

import asyncio
import email
import email.policy
import json
import logging
import ssl
import sys
import warnings


def shown(content):
    message = email.message_from_bytes(content, policy=email.policy.default)

    def part(kind):
        return (message.get_body((kind,)) or message).get_content().replace("\r\n", "\n")

    return {
        "headers": message.keys(),
        "from": str(message["From"]),
        "to": str(message["To"]),
        "subject": str(message["Subject"]),
        "text": part("plain"),
        "html": part("html"),
        "defects": [str(defect) for each in message.walk() for defect in each.defects],
    }


class Handler:
    async def handle_DATA(self, server, session, envelope):
        letter = shown(envelope.content)
        letter["sender"] = envelope.mail_from
        letter["recipients"] = envelope.rcpt_tos
        letter["encrypted"] = session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None
        print(json.dumps(letter), flush=True)
        return "250 accepted"


async def serve(mode, certificate, key, user, password):
    # Of aiosmtpd, on AUTH over the TLS of the listener, and on clients that go away.
    warnings.simplefilter("ignore")
    logging.disable()
    from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def authenticate(server, session, envelope, mechanism, data):
        expected = LoginPassword(user.encode(), password.encode())
        # Not handled: the server replies.
        return AuthResult(success=data == expected, handled=False)

    def factory():
        return SMTP(
            Handler(),
            hostname="localhost",
            authenticator=authenticate,
            auth_required=True,
            # aiosmtpd does not see the TLS of the listener.
            auth_require_tls=mode == "starttls",
            require_starttls=mode == "starttls",
            tls_context=context if mode == "starttls" else None,
        )

    loop = asyncio.get_running_loop()
    listener = context if mode == "tls" else None
    server = await loop.create_server(factory, "127.0.0.1", 0, ssl=listener)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Ends with the test, which holds the other end of the standard input.
    await loop.run_in_executor(None, sys.stdin.read)


if sys.argv[1] == "read":
    with open(sys.argv[2], "rb") as file:
        print(json.dumps(shown(file.read())))
elif sys.argv[1:]:
    asyncio.run(serve(*sys.argv[1:]))
