"""Settings are found in a known order, fit together, and say what to do when they do not."""

import traceback
from dataclasses import asdict

import pytest

from chatlab.errors import ConfigurationError, KeyMismatch, MissingKey, MissingModel, ModelNameInvalid
from chatlab.settings import Settings
from chatlab.values.secret import Secret

OPENROUTER_KEY = "sk-or-v1-0123456789"
OTHER_KEY = "sk-corp-0123456789"
GATEWAY = "https://llm.example.org/v1"


@pytest.fixture
def project(tmp_path):
    """A project folder as in a checkout, with notebooks/ in it."""
    for name in ("tool_definitions", "notebooks"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def load(project):
    """Load settings from a dict of variables, in the project folder unless told otherwise."""

    def load(environ=None, /, directory=project, **given):
        return Settings.load(environ=environ or {}, directory=directory, **given)

    return load


class TestWhichGateway:
    def test_neither_url_nor_key_means_the_simulator_with_a_store_of_its_own(self, load, project):
        settings = load()
        assert settings.simulated
        assert settings.gateway_url is None
        assert settings.api_key is None
        assert settings.default_model == "sim/crow"
        assert settings.store == project / "data" / "simulator.duckdb"

    @pytest.mark.parametrize("variable", ["AI_API_KEY", "OPENROUTER_API_KEY"])
    def test_a_key_alone_means_openrouter(self, load, project, variable):
        settings = load({variable: OPENROUTER_KEY})
        assert settings.gateway_url == "https://openrouter.ai/api/v1"
        assert settings.is_openrouter
        assert settings.api_key == Secret(OPENROUTER_KEY)
        assert settings.sources["api_key"] == f"{variable} in the environment"
        assert not settings.simulated
        assert settings.store == project / "data" / "chatlab.duckdb"

    def test_the_simulator_can_be_asked_for_although_a_key_is_set(self, load):
        assert load({"AI_API_KEY": OPENROUTER_KEY}, gateway="simulator").simulated
        assert load({"AI_API_KEY": OPENROUTER_KEY, "AI_GATEWAY_URL": "Simulator"}).api_key is None

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
    def test_the_simulators_own_key_on_this_machine_means_a_simulator_that_runs_by_itself(
        self, load, project, host
    ):
        settings = load({"AI_GATEWAY_URL": f"http://{host}:8900/api/v1", "AI_API_KEY": "simulator"})
        assert settings.simulated
        assert settings.gateway_url == f"http://{host}:8900/api/v1"
        assert settings.default_model == "sim/crow"
        assert settings.store == project / "data" / "simulator.duckdb"

    @pytest.mark.parametrize(
        "environ",
        [
            {"AI_GATEWAY_URL": "http://127.0.0.1:8900/api/v1", "AI_API_KEY": "another"},
            {"AI_GATEWAY_URL": "http://127.0.0.1:8900/api/v1"},
            {"AI_GATEWAY_URL": GATEWAY, "AI_API_KEY": "simulator"},
        ],
    )
    def test_other_gateways_and_keys_are_real(self, load, environ):
        assert not load(environ).simulated

    def test_an_empty_variable_hides_the_dotenv_file(self, load, project):
        (project / ".env").write_text(f"AI_API_KEY={OPENROUTER_KEY}\n")
        assert not load().simulated
        assert load({"AI_API_KEY": ""}).simulated

    def test_a_gateway_on_this_machine_needs_no_key(self, load):
        settings = load({"AI_GATEWAY_URL": "http://localhost:11434/v1/"})
        assert settings.gateway_url == "http://localhost:11434/v1"
        assert settings.api_key is None
        assert not settings.simulated

    def test_openrouter_has_regional_hosts(self, load):
        region = "https://eu.openrouter.ai/api/v1"
        assert load({"AI_GATEWAY_URL": region, "AI_API_KEY": OPENROUTER_KEY}).is_openrouter
        assert load({"AI_API_KEY": OPENROUTER_KEY}, gateway=region).api_key == Secret(OPENROUTER_KEY)


class TestOrder:
    def test_an_argument_comes_before_the_environment_and_that_before_dotenv(self, load, project):
        (project / ".env").write_text(f"AI_API_KEY={OPENROUTER_KEY}\nAI_DEFAULT_MODEL=file/model\n")
        assert load().default_model == "file/model"
        assert load({"AI_DEFAULT_MODEL": "environ/model"}).default_model == "environ/model"
        assert load({"AI_DEFAULT_MODEL": "environ/model"}, model="given/model").default_model == "given/model"

    def test_the_dotenv_file_stays_out_of_the_environment(self, load, project, monkeypatch):
        environ = {}
        (project / ".env").write_text(f"AI_API_KEY={OPENROUTER_KEY}\n")
        assert load(environ).api_key
        assert environ == {}

    def test_every_value_says_where_it_came_from(self, load, project):
        (project / ".env").write_text("CHATLAB_USER=ada\n")
        settings = load({"AI_API_KEY": OPENROUTER_KEY, "CHATLAB_GROUP": "lab"}, model="a/b")
        assert settings.user == "ada"
        assert settings.group == "lab"
        assert settings.sources == {
            "api_key": "AI_API_KEY in the environment",
            "default_model": "argument model=",
            "gateway_url": "the default gateway",
            "group": "CHATLAB_GROUP in the environment",
            "store": "the default",
            "user": f"CHATLAB_USER in {project / '.env'}",
        }

    @pytest.mark.parametrize(
        "line",
        [
            f"AI_API_KEY={OPENROUTER_KEY}",
            f"export AI_API_KEY='{OPENROUTER_KEY}'",
            f'AI_API_KEY = "{OPENROUTER_KEY}"  # mine',
            f"\ufeffAI_API_KEY={OPENROUTER_KEY}\r",
        ],
    )
    def test_dotenv_files_are_read_as_people_write_them(self, load, project, line):
        (project / ".env").write_text(line + "\n", encoding="utf-8")
        assert load().api_key == Secret(OPENROUTER_KEY)

    def test_a_dollar_in_a_dotenv_value_is_a_dollar(self, load, project):
        (project / ".env").write_text("CHATLAB_USER=${HOME}\n")
        assert load({"HOME": "/elsewhere"}).user == "${HOME}"

    def test_a_dotenv_file_that_is_no_text_is_named(self, load, project):
        (project / ".env").write_bytes(b"AI_API_KEY=\xff\xfe")
        with pytest.raises(ConfigurationError, match=r"\.env is not UTF-8"):
            load()


class TestPlaces:
    def test_notebooks_and_terminal_reach_the_same_project(self, load, project):
        (project / ".env").write_text("CHATLAB_USER=ada\n")
        here, inside = load(), load(directory=project / "notebooks")
        assert inside == here
        assert inside.tool_directory == project / "tool_definitions"

    def test_a_folder_without_a_project_is_its_own(self, tmp_path):
        settings = Settings.load(environ={}, directory=tmp_path)
        assert settings.store == tmp_path / "data" / "simulator.duckdb"
        assert settings.tool_directory == tmp_path / "tool_definitions"

    def test_the_search_ends_at_the_top_of_the_checkout(self, tmp_path):
        checkout = tmp_path / "checkout"
        (checkout / "deep" / "er").mkdir(parents=True)
        (checkout / ".git").mkdir()
        (tmp_path / ".env").write_text("CHATLAB_USER=stranger\n")
        assert Settings.load(environ={}, directory=checkout / "deep" / "er").user is None
        (checkout / ".env").write_text("CHATLAB_USER=ada\n")
        assert Settings.load(environ={}, directory=checkout / "deep" / "er").user == "ada"

    def test_files_above_a_loose_folder_are_somebody_elses(self, tmp_path):
        (tmp_path / "folder").mkdir()
        (tmp_path / ".env").write_text("CHATLAB_USER=stranger\n")
        assert Settings.load(environ={}, directory=tmp_path / "folder").user is None

    def test_relative_stores_start_where_they_were_written(self, load, project):
        inside = project / "notebooks"
        key = {"AI_API_KEY": OPENROUTER_KEY}
        assert load(key, inside, store="a.duckdb").store == inside / "a.duckdb"
        assert load(key | {"CHATLAB_STORE": "b.duckdb"}, inside).store == project / "b.duckdb"
        (project / ".env").write_text("CHATLAB_STORE=c.duckdb\n")
        assert load(key, inside).store == project / "c.duckdb"

    def test_absolute_stores_and_home_stay_as_they_are(self, load, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        key = {"AI_API_KEY": OPENROUTER_KEY}
        assert load(key, store=tmp_path / "a.duckdb").store == tmp_path / "a.duckdb"
        assert load(key, store="~/a.duckdb").store == tmp_path / "a.duckdb"


class TestSimulatedRowsStayApart:
    @pytest.mark.parametrize(
        ("named", "used"),
        [
            ("lab.duckdb", "lab.simulator.duckdb"),
            ("lab", "lab.simulator"),
            ("simulator.duckdb", "simulator.duckdb"),
            ("lab.simulator.duckdb", "lab.simulator.duckdb"),
        ],
    )
    def test_a_simulated_run_uses_a_file_beside_the_store(self, load, project, named, used):
        assert load({"CHATLAB_STORE": named}).store == project / used
        assert load(store=named).store == project / used

    def test_a_paid_run_refuses_the_simulators_file(self, load):
        with pytest.raises(
            ConfigurationError, match=r"CHATLAB_STORE in the environment.*gateway='simulator'"
        ):
            load({"AI_API_KEY": OPENROUTER_KEY, "CHATLAB_STORE": "data/simulator.duckdb"})

    def test_a_folder_is_no_store(self, load, project):
        with pytest.raises(ConfigurationError, match=r"argument store= names the folder .*lab\.duckdb"):
            load(store=project)

    def test_a_default_model_for_later_does_not_stop_the_simulator(self, load):
        settings = load({"AI_DEFAULT_MODEL": "openai/gpt-5"})
        assert settings.default_model == "sim/crow"
        assert "AI_DEFAULT_MODEL in the environment" in settings.sources["default_model"]
        assert load({"AI_DEFAULT_MODEL": "sim/owl"}).default_model == "sim/owl"


class TestSimulatorPace:
    def test_it_is_a_number_of_tokens_per_second(self, load):
        assert load({"CHATLAB_SIMULATOR_PACE": "0"}).simulator_pace == 0
        assert load({"CHATLAB_SIMULATOR_PACE": "12.5"}).simulator_pace == 12.5

    @pytest.mark.parametrize("pace", ["fast", "-1", "nan", "inf"])
    def test_anything_else_is_refused(self, load, pace):
        with pytest.raises(ConfigurationError, match="CHATLAB_SIMULATOR_PACE in the environment"):
            load({"CHATLAB_SIMULATOR_PACE": pace})


class TestKeys:
    @pytest.mark.parametrize("noise", [" {} ", "'{}'", '"{}"', ' "{} "\n'])
    def test_what_pasting_leaves_around_a_key_is_cleaned(self, load, noise):
        assert load({"AI_API_KEY": noise.format(OPENROUTER_KEY)}).api_key == Secret(OPENROUTER_KEY)
        assert load(api_key=noise.format(OPENROUTER_KEY)).api_key == Secret(OPENROUTER_KEY)

    @pytest.mark.parametrize(
        "key", ["Bearer sk-or-v1-1", "sk-or-v1-1\nsk-or-v1-2", "sk-or-v1-\u00e9", "sk-or-'1"]
    )
    def test_what_cannot_be_a_key_is_refused(self, load, key):
        with pytest.raises(KeyMismatch, match="AI_API_KEY in the environment has a space"):
            load({"AI_API_KEY": key})

    def test_a_foreign_key_is_no_key_of_openrouter(self, load):
        with pytest.raises(KeyMismatch, match=r"AI_API_KEY in the environment.*'sk-or-'.*openrouter.ai/keys"):
            load({"AI_API_KEY": OTHER_KEY})

    def test_an_openrouter_key_goes_to_no_other_gateway(self, load):
        with pytest.raises(KeyMismatch, match=r"not sent to llm.example.org"):
            load({"AI_API_KEY": OPENROUTER_KEY, "AI_GATEWAY_URL": GATEWAY})

    def test_openrouter_api_key_is_for_openrouter_only(self, load):
        with pytest.raises(MissingKey, match=r"llm.example.org.*set AI_API_KEY in"):
            load({"OPENROUTER_API_KEY": OPENROUTER_KEY, "AI_GATEWAY_URL": GATEWAY})

    def test_a_gateway_elsewhere_needs_a_key(self, load):
        with pytest.raises(MissingKey, match="AI_API_KEY or OPENROUTER_API_KEY"):
            load({"AI_GATEWAY_URL": "https://openrouter.ai/api/v1"})

    def test_a_key_is_not_sent_to_a_gateway_it_was_not_set_for(self, load):
        environ = {"AI_GATEWAY_URL": GATEWAY, "AI_API_KEY": OTHER_KEY}
        assert load(environ).api_key == Secret(OTHER_KEY)
        with pytest.raises(KeyMismatch, match=r"not sent to other.example.org.*pass api_key="):
            load(environ, gateway="https://other.example.org/v1")
        given = load(environ, gateway="https://other.example.org/v1", api_key="its-own")
        assert given.api_key == Secret("its-own")

    def test_a_dotenv_key_is_not_sent_where_the_environment_points(self, load, project):
        (project / ".env").write_text(f"AI_GATEWAY_URL={GATEWAY}\nAI_API_KEY={OTHER_KEY}\n")
        with pytest.raises(KeyMismatch, match="set for another gateway"):
            load({"AI_GATEWAY_URL": "https://other.example.org/v1"})

    @pytest.mark.parametrize("key", [OPENROUTER_KEY, OTHER_KEY])
    def test_a_gateway_on_this_machine_gets_only_a_key_that_was_set_for_it(self, load, key):
        local = "http://127.0.0.1:8900/api/v1"
        assert load({"AI_GATEWAY_URL": local, "AI_API_KEY": key}).api_key == Secret(key)
        assert load({"AI_API_KEY": OPENROUTER_KEY}, gateway=local).api_key is None
        assert load({"AI_GATEWAY_URL": GATEWAY, "AI_API_KEY": OTHER_KEY}, gateway=local).api_key is None

    def test_no_error_and_no_traceback_shows_the_key(self, load, project):
        (project / ".env").write_text(f"OPENROUTER_API_KEY={OTHER_KEY}\n")
        broken = [
            ({"AI_API_KEY": OTHER_KEY}, {}),
            ({"AI_API_KEY": OPENROUTER_KEY, "AI_GATEWAY_URL": GATEWAY}, {}),
            ({"AI_API_KEY": OTHER_KEY + " x"}, {}),
            ({"AI_GATEWAY_URL": OTHER_KEY}, {}),
            ({"AI_GATEWAY_URL": f"https://user:{OTHER_KEY}@llm.example.org/v1"}, {}),
            ({"AI_GATEWAY_URL": f"https://llm.example.org/v1?key={OTHER_KEY}"}, {}),
            ({"AI_API_KEY": OPENROUTER_KEY, "AI_DEFAULT_MODEL": "no-provider"}, {}),
            ({}, {}),
        ]
        for environ, given in broken:
            with pytest.raises(ConfigurationError) as caught:
                load(environ, **given)
            # The outermost two frames are this test's own, whose variables hold the key on purpose.
            frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
            frames.stack = traceback.StackSummary.from_list(frames.stack[2:])
            text = "".join(frames.format()) + str([frame.locals for frame in frames.stack])
            assert OTHER_KEY not in text
            assert OPENROUTER_KEY not in text

    def test_settings_can_be_shown_and_not_copied_away(self, load):
        settings = load({"AI_API_KEY": OPENROUTER_KEY})
        assert "Secret(***)" in repr(settings)
        assert OPENROUTER_KEY not in repr(settings)
        with pytest.raises(TypeError, match="never pickled"):
            asdict(settings)


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("http://llm.example.org/v1", "unencrypted"),
            ("http://localhost.example.org/v1", "unencrypted"),
            ("http://10.0.0.5:8000/v1", "unencrypted"),
            ("http://lab.localhost/v1", "unencrypted"),
            ("https://user:pass@llm.example.org/v1", "user name"),
            ("https://llm.example.org/v1?api-version=1", "query"),
            ("https://llm.example.org/v1#part", "fragment"),
            ("llm.example.org/v1", "not a URL"),
            ("ftp://llm.example.org/v1", "not a URL"),
            ("https://", "not a URL"),
            ("https://llm.example.org:port/v1", "not a URL"),
            ("https://llm.example.org:0/v1", "not a URL"),
            ("https://[::1/v1", "not a URL"),
            ("https://llm.exam\nple.org/v1", "not a URL"),
            ("https://openrouter.ai\\@llm.example.org/", "not a URL"),
            ("https://openrouter.ai", "not the base URL"),
            ("https://openrouter.ai/api/v1/chat/completions", "not the base URL"),
        ],
    )
    def test_a_url_that_cannot_be_used_is_refused_with_its_place(self, load, url, reason):
        with pytest.raises(ConfigurationError, match=f"AI_GATEWAY_URL in the environment.*{reason}"):
            load({"AI_GATEWAY_URL": url, "AI_API_KEY": OTHER_KEY})

    @pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "127.8.8.8:80", "[::1]:8900"])
    def test_plain_http_is_for_this_machine(self, load, host):
        assert load({"AI_GATEWAY_URL": f"http://{host}/v1"}).gateway_url == f"http://{host}/v1"

    @pytest.mark.parametrize("url", [f"{GATEWAY}/", f' "{GATEWAY}" ', GATEWAY.replace("llm", "LLM")])
    def test_urls_are_normalised(self, load, url):
        assert load({"AI_GATEWAY_URL": url, "AI_API_KEY": OTHER_KEY}).gateway_url == GATEWAY

    @pytest.mark.parametrize(
        "host", ["openrouter.ai.example.org", "notopenrouter.ai", "openrouter.example.org"]
    )
    def test_a_host_that_only_looks_like_openrouter_gets_no_key_of_it(self, load, host):
        with pytest.raises(KeyMismatch):
            load({"AI_GATEWAY_URL": f"https://{host}/api/v1", "AI_API_KEY": OPENROUTER_KEY})


class TestModels:
    @pytest.mark.parametrize(
        ("model", "hint"),
        [
            ("claude-sonnet-5", "'anthropic/claude-sonnet-5'"),
            ("gpt-5-mini", "'openai/gpt-5-mini'"),
            ("o3", "'openai/o3'"),
            ("gemini-2.5-pro", "'google/gemini-2.5-pro'"),
            ("llama-3.3-70b-instruct", "'meta-llama/llama-3.3-70b-instruct'"),
            ("qwen3-32b", "'qwen/qwen3-32b'"),
            ("cluade-opus", "'anthropic/cluade-opus'"),
            ("something", "chatlab models"),
        ],
    )
    def test_openrouter_wants_the_provider_and_the_error_guesses_it(self, load, model, hint):
        with pytest.raises(ModelNameInvalid, match=f"AI_DEFAULT_MODEL in the environment.*{hint}"):
            load({"AI_API_KEY": OPENROUTER_KEY, "AI_DEFAULT_MODEL": model})

    @pytest.mark.parametrize(
        "model", ["a/b", "openrouter/auto", "~openai/gpt-latest", "@preset/mine", "a/b:free"]
    )
    def test_ids_with_a_provider_pass(self, load, model):
        assert load({"AI_API_KEY": OPENROUTER_KEY}, model=model).default_model == model

    def test_other_gateways_name_models_as_they_like(self, load):
        environ = {"AI_GATEWAY_URL": "http://localhost:1/v1", "AI_DEFAULT_MODEL": "llama3.2:latest"}
        assert load(environ).default_model == "llama3.2:latest"

    def test_the_simulator_says_how_to_reach_real_models(self, load):
        with pytest.raises(ModelNameInvalid, match="'sim/crow', or set AI_API_KEY"):
            load().check_model("openai/gpt-5")

    @pytest.mark.parametrize("model", ["", "a b", "a/b\n", "sk-or-v1-oops"])
    def test_what_is_no_id_is_refused(self, load, model):
        with pytest.raises(ModelNameInvalid) as caught:
            load({"AI_API_KEY": OPENROUTER_KEY}).resolve_model(model)
        assert "oops" not in str(caught.value)

    def test_the_call_comes_before_the_tool_and_the_tool_before_the_default(self, load):
        settings = load({"AI_API_KEY": OPENROUTER_KEY, "AI_DEFAULT_MODEL": "a/default"})
        assert settings.resolve_model("a/call", "a/tool") == "a/call"
        assert settings.resolve_model(None, "a/tool") == "a/tool"
        assert settings.resolve_model() == "a/default"

    def test_without_any_model_the_error_names_the_variable(self, load):
        with pytest.raises(MissingModel, match="AI_DEFAULT_MODEL=openai/"):
            load({"AI_API_KEY": OPENROUTER_KEY}).resolve_model()
