"""Flask-Session: a session begins, goes on and ends."""

import os

from flask import Flask, session
from flask_session import Session
from redis import Redis

URL, PREFIX, NAME = (os.environ[key] for key in ("REDIS_URL", "PREFIX", "NAME"))
app = Flask(__name__)
app.config.update(SESSION_TYPE="redis", SESSION_REDIS=Redis.from_url(URL))
if PREFIX:
    app.config["SESSION_KEY_PREFIX"] = PREFIX
Session(app)


@app.get("/in")
def log_in():
    session["user"] = NAME
    return "in"


@app.get("/who")
def who():
    return session.get("user", "nobody")


@app.get("/out")
def log_out():
    session.clear()
    return "out"


def main():
    with app.test_client() as client:
        client.get("/in")
        assert client.get("/who").text == NAME
        client.get("/out")
        assert client.get("/who").text == "nobody"
    keys = list(Redis.from_url(URL).scan_iter(match=f"{PREFIX or 'session:'}*"))
    assert keys == [], keys


if __name__ == "__main__":
    main()
