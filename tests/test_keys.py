"""Keys: never shown, never sent to another host, and placeholders refused before anything is sent."""

import copy
import json
import logging
import os
import pickle
import random
import string
import traceback

import msgspec
import pytest

from holystream_nb.errors import MissingKey, SetupError
from holystream_nb.providers.keys import Key, credentials, key_for
from holystream_nb.providers.table import provider

SECRET = "hs_live_9fK2mQ7wZ4xT1bN8vR5c"
NO_FILE = {"HOLYSTREAM_PROVIDERS": os.devnull}
HOLYSHEEP = provider("holysheep", NO_FILE)
OLLAMA = provider("ollama", NO_FILE)
SIMULATOR = provider("simulator", NO_FILE)
SET = {"HOLYSHEEP_API_KEY": SECRET}


class TestKey:
    @pytest.mark.parametrize(
        "show",
        [
            repr,
            str,
            "{}".format,
            "{!r:>40}".format,
            "%s".__mod__,
            lambda key: repr([key]),
            lambda key: repr({"k": key}),
        ],
    )
    def test_it_never_prints(self, show):
        """However a key is made into text, its value is not in it."""
        shown = show(Key(SECRET))
        assert "Key(…)" in shown
        assert SECRET not in shown

    def test_it_is_not_in_a_traceback_with_local_variables(self):
        """A traceback that prints the variables of every frame prints no key."""

        def fail(key: Key) -> None:
            raise ValueError("broken")

        try:
            fail(Key(SECRET))
        except ValueError as exc:
            lines = "".join(traceback.TracebackException.from_exception(exc, capture_locals=True).format())
        assert "key = Key(…)" in lines
        assert SECRET not in lines

    def test_it_is_not_in_a_log(self, caplog):
        """Logging a key logs its name only."""
        with caplog.at_level(logging.INFO):
            logging.getLogger("test").info("key %s", Key(SECRET))
        assert caplog.messages == ["key Key(…)"]

    @pytest.mark.parametrize(
        "save",
        [
            pickle.dumps,
            copy.copy,
            copy.deepcopy,
            json.dumps,
            msgspec.json.encode,
            msgspec.to_builtins,
            vars,
            lambda key: key.__getstate__(),
            lambda key: json.dumps(key, default=vars),
        ],
    )
    def test_it_cannot_be_saved(self, save):
        """Pickle, copy, JSON and `vars` refuse a key."""
        with pytest.raises(TypeError) as caught:
            save(Key(SECRET))
        assert SECRET not in str(caught.value)

    def test_reveal_gives_it(self):
        """The one way to the value; white space around it is not part of it."""
        assert Key(f" {SECRET}\r\n").reveal() == SECRET
        assert Key(Key(SECRET)).reveal() == SECRET


class TestKeyFor:
    def test_it_comes_from_the_providers_variable(self):
        """The variable in the table is the one that is read."""
        key = key_for(HOLYSHEEP, environ=SET)
        assert key is not None
        assert key.reveal() == SECRET

    def test_a_key_passed_in_comes_first(self):
        """An explicit key wins over the variable, as text or as Key."""
        for given in ("sk-other-1a2b3c", Key("sk-other-1a2b3c")):
            key = key_for(HOLYSHEEP, api_key=given, environ=SET)
            assert key is not None
            assert key.reveal() == "sk-other-1a2b3c"

    def test_a_provider_that_needs_no_key_gets_none(self):
        """A local server is called without a key, or with the one that was passed."""
        assert key_for(OLLAMA, environ=SET) is None
        assert key_for(SIMULATOR, environ=SET) is None
        for word in ("ollama", "none", "x", "EMPTY", "null", "sk-xxx"):
            key = key_for(OLLAMA, api_key=word, environ={})
            assert key is not None
            assert key.reveal() == word

    def test_one_that_needs_a_key_only_sometimes_takes_any_word(self):
        """Where a key is optional, `EMPTY` is how its users say that there is none."""
        litellm = provider("litellm", NO_FILE)
        for word in ("none", "x", "EMPTY"):
            for given in ({"api_key": word, "environ": {}}, {"environ": {"LITELLM_API_KEY": word}}):
                key = credentials(litellm, **given)
                assert key is not None
                assert key.reveal() == word

    @pytest.mark.parametrize("environ", [{}, {"HOLYSHEEP_API_KEY": ""}, {"HOLYSHEEP_API_KEY": " \n"}])
    def test_a_missing_key_names_the_variable_and_the_way_out(self, environ):
        """Without a key the sentence says which variable to set, and that the simulator needs none."""
        with pytest.raises(MissingKey, match=r"No key for holysheep: set HOLYSHEEP_API_KEY .*simulator"):
            key_for(HOLYSHEEP, environ=environ)

    @pytest.mark.parametrize(
        "placeholder",
        [
            "YOUR_HOLYSHEEP_API_KEY",
            "your-api-key",
            "your api key here",
            "yourapikey",
            "hs_live_your_key_here",
            "sk-...",
            "sk-…",
            "sk-",
            "sk-proj-xxxxxxxxxxxx",
            "hs_live_XXXXXXXX",
            "hs_live_****",
            "xxx",
            "...",
            "<key>",
            "<YOUR_FIREWORKS_API_KEY>",
            "${HOLYSHEEP_API_KEY}",
            "$HOLYSHEEP_API_KEY",
            "{api_key}",
            "[KEY]",
            "%HOLYSHEEP_API_KEY%",
            "HOLYSHEEP_API_KEY",
            "api_key",
            "changeme",
            "change-me",
            "replace_me",
            "insert-key",
            "placeholder",
            "PUT_KEY_HERE",
            "None",
            "null",
            "TODO",
        ],
    )
    def test_placeholders_are_refused(self, placeholder):
        """What stands in examples is not a key, wherever it comes from."""
        with pytest.raises(MissingKey, match=r"The variable HOLYSHEEP_API_KEY is a placeholder"):
            key_for(HOLYSHEEP, environ={"HOLYSHEEP_API_KEY": placeholder})
        with pytest.raises(MissingKey, match=r"The api_key that was passed is a placeholder"):
            key_for(HOLYSHEEP, api_key=placeholder, environ=SET)

    @pytest.mark.parametrize(
        "stray", ["{} {}", "{}\n{}", "{}\t{}", "{}\r\nX-Evil: {}", "{}é{}", "{}\x00{}", "{}\u200b{}"]
    )
    def test_a_stray_character_is_refused_without_repeating_the_key(self, stray):
        """A space, line break or non-ASCII character inside never reaches a header, and no message shows the key."""
        half = SECRET[:14], SECRET[14:]
        with pytest.raises(MissingKey, match="character that no key has") as caught:
            key_for(HOLYSHEEP, api_key=stray.format(*half), environ={})
        assert half[0] not in str(caught.value)
        assert half[1] not in str(caught.value)

    def test_an_empty_key_passed_in_is_refused(self):
        """An empty api_key does not fall back to the variable."""
        with pytest.raises(MissingKey, match="The api_key that was passed is empty"):
            key_for(HOLYSHEEP, api_key="", environ=SET)

    def test_real_keys_are_accepted(self):
        """None of 20,000 random keys in the services' forms is taken for a placeholder."""
        draw = random.Random(7)
        letters = string.ascii_letters + string.digits + "-_"
        for prefix in ("hs_live_", "sk-", "sk-proj-", "sk-or-v1-", "gsk_", "csk-", "xai-", "AIza", "fw_", ""):
            for _ in range(2_000):
                value = prefix + "".join(draw.choices(letters, k=32))
                key = key_for(HOLYSHEEP, api_key=value, environ={})
                assert key is not None
                assert key.reveal() == value

    def test_a_hostile_key_is_refused_quickly(self):
        """Long nonsense does not make the search for placeholders slow."""
        for nonsense in ("your" + "a" * 190, "a_" * 95, "your" * 48, "xx-" * 60):
            with pytest.raises(MissingKey, match="character that no key has"):
                key_for(HOLYSHEEP, api_key=nonsense + "é", environ={})


class TestCredentials:
    def test_the_providers_own_host_gets_its_key(self):
        """At its own address, whatever the path, a provider's key is sent."""
        for base_url in (None, "https://api.holysheep.ai/v1", "https://API.holysheep.ai:443/v2/"):
            key = credentials(HOLYSHEEP, base_url, environ=SET)
            assert key is not None
            assert key.reveal() == SECRET

    @pytest.mark.parametrize(
        "base_url",
        [
            "https://proxy.example/v1",
            "https://api.holysheep.ai.evil.example/v1",
            "https://api.holysheep.ai:8443/v1",
            "http://api.holysheep.ai/v1",
            "http://127.0.0.1:8000/v1",
        ],
    )
    def test_another_host_never_gets_it(self, base_url):
        """Another host, port or scheme is called without the provider's key."""
        assert credentials(HOLYSHEEP, base_url, environ=SET) is None

    def test_another_host_gets_what_was_passed_for_it(self):
        """An explicit key is sent to the address it was given with."""
        key = credentials(HOLYSHEEP, "https://proxy.example/v1", "sk-proxy-1a2b3c", SET)
        assert key is not None
        assert key.reveal() == "sk-proxy-1a2b3c"
        with pytest.raises(MissingKey, match="placeholder"):
            credentials(HOLYSHEEP, "https://proxy.example/v1", "YOUR_API_KEY", SET)

    def test_a_key_is_never_sent_unencrypted_over_a_network(self):
        """http:// with a key is for this machine only."""
        with pytest.raises(SetupError, match=r"never sent unencrypted: use https:// for box\.lan:8000") as caught:
            credentials(OLLAMA, "http://box.lan:8000/v1", SECRET, {})
        assert SECRET not in str(caught.value)
        assert credentials(OLLAMA, "http://box.lan:8000/v1", None, {}) is None
        for loopback in ("http://localhost:8000/v1", "http://127.0.0.1:8000/v1", "http://[::1]:8000/v1"):
            key = credentials(HOLYSHEEP, loopback, SECRET, {})
            assert key is not None
            assert key.reveal() == SECRET

    def test_the_simulator_needs_none(self):
        """The simulator is called without a key, also where HolySheep's is set."""
        assert credentials(SIMULATOR, "http://127.0.0.1:4000/v1", environ=SET) is None

    def test_a_bad_address_is_refused_before_any_key_is_read(self):
        """An address that is none is a mistake of its own."""
        with pytest.raises(SetupError, match="base_url must begin"):
            credentials(HOLYSHEEP, "proxy.example/v1", environ=SET)
