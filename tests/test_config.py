"""Settings: what is written is what is meant, and what is not accepted is refused with what is."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memjax import config
from memjax.config import Config, ConfigError
from memjax.errors import UserError

CONFIGS = Path(__file__).resolve().parent.parent / "configs"

# The framework's file, as its design note prints it.
FRAMEWORK = """
device:   {g_min: 1.0e-6, g_max: 1.0e-3, tau: 100e-3, read_voltage: 0.1, write_voltage: 1.0}
stdp:     {A_plus: 0.01, A_minus: 0.01, tau_plus: 20, tau_minus: 20}      # ms in this file
array:    {n_inputs: 784, n_outputs: 100, module_size: 28}
learning: {epochs: 100, batch_size: 1, learning_rate: 0.01}
"""


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "run.yaml"

    def to(text: str, **kwargs):
        path.write_text(text, **{"encoding": "utf-8", **kwargs})
        return path

    to.path = path
    return to


def refused(path, overrides=()) -> str:
    with pytest.raises(ConfigError) as caught:
        config.load(path, overrides)
    return str(caught.value)


# --- the framework's file ---------------------------------------------------------------------------------------------


def test_the_frameworks_file_loads_as_is(write):
    c = config.load(write(FRAMEWORK))
    assert (c.device.name, c.device.g_min, c.device.g_max, c.device.tau) == ("volatile", 1e-6, 1e-3, 0.1)
    assert (c.device.read_voltage, c.device.write_voltage) == (0.1, 1.0)
    assert (c.array.n_inputs, c.array.n_outputs, c.array.module_size) == (784, 100, (28, 28))
    assert (c.learning.epochs, c.learning.batch_size, c.learning.learning_rate) == (100, 1, 0.01)
    params = config.device_params(c)
    assert (params.g_min, params.g_max, params.tau) == (1e-6, 1e-3, 0.1)


def test_block_style_is_the_same(write):
    block = yaml.safe_dump(yaml.safe_load(FRAMEWORK), default_flow_style=False)
    assert "tau: 100e-3" in block.replace("'", "")  # PyYAML alone takes it for a word
    assert config.load(write(block)) == config.load(write(FRAMEWORK))
    assert config.load(CONFIGS / "framework.yaml") == config.load(write(FRAMEWORK))


def test_stdp_times_are_milliseconds_and_it_says_so(write):
    c = config.load(write(FRAMEWORK))
    assert c.stdp.rule_params() == {"a_plus": 0.01, "a_minus": 0.01, "tau_plus": 0.02, "tau_minus": 0.02}
    assert c.notes == (
        "stdp.tau_plus: 20 is read as milliseconds, 0.02 s",
        "stdp.tau_minus: 20 is read as milliseconds, 0.02 s",
    )
    assert Config().notes == ()
    assert config.load(write("stdp: {tau_minus: 33.7}")).notes == (
        "stdp.tau_minus: 33.7 is read as milliseconds, 0.0337 s",
    )


def test_the_rule_takes_those_parameters():
    from memjax import plasticity

    params = plasticity.stdp.Params(**Config().stdp.rule_params())
    assert params.tau_plus == 0.02


def test_the_edge_config_is_the_stated_device(write):
    c = config.load(CONFIGS / "edge_mnist.yaml")
    assert (c.seed, c.chips, c.device.name, c.data.dataset) == (0, 5, "exponential", "digits")
    assert (c.array.n_inputs, c.array.n_outputs, c.array.n_classes, c.array.module_size) == (784, 256, 10, (64, 64))
    params = config.device_params(c)
    assert (params.step_up, params.step_down, params.beta_up, params.beta_down) == (1 / 64, 1 / 64, 1.0, 1.0)
    assert {k: (v.sigma, v.distribution) for k, v in c.variation.d2d.items()} == {
        "step_up": (0.2, "lognormal"),
        "step_down": (0.2, "lognormal"),
    }
    assert (c.variation.c2c, c.variation.read_noise) == (0.3, 0.02)
    assert c.variation.stuck_on + c.variation.stuck_off == 0.01


def test_the_section_of_nonidealities_has_two_names(write):
    text = "{c2c: 0.1, d2d: {tau: 0.2}, drift: {nu: 0.06}, heat: {ambient: 350}}"
    one, other = (config.load(write(f"{name}: {text}")) for name in ("variation", "nonidealities"))
    assert one == other
    assert (one.variation.drift.nu, one.variation.drift.t0, one.variation.heat.ambient) == (0.06, 1.0, 350.0)
    both = config.load(write("variation: {c2c: 0.1}\nnonidealities: {read_noise: 0.2}"), ["nonidealities.drift.nu=0.1"])
    assert (both.variation.c2c, both.variation.read_noise, both.variation.drift.nu) == (0.1, 0.2, 0.1)
    assert "nonidealities.c2c: is given twice: also as variation.c2c" in refused(
        write("variation: {c2c: 0.1}\nnonidealities: {c2c: 0.1}")
    )
    assert "variation.drft (line 2): unknown key; did you mean 'drift'?" in refused(write("nonidealities:\n  drft: {}"))
    assert "variation (line 1): Input should be a valid" in refused(write("nonidealities: 3"))


@pytest.mark.parametrize(
    "text, message",
    [
        ("variation: {d2d: {tau: {sigma: 0.1, die: 0.7, patch: 0.4}}}", "die + patch should be at most 1"),
        ("variation: {d2d: {tau: {sigma: 0.5, distribution: truncated}}}", "should be less than 0.43"),
        (
            "variation: {half_select: {scheme: quarter}}",
            "variation.half_select.scheme (line 1): Input should be 'half'",
        ),
    ],
)
def test_what_no_nonideality_is_is_refused(write, text, message):
    assert message in refused(write(text))


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["100e-3", "1e-1", "0.1", ".1", "1.0e-1", "+1E-1", "'100e-3'", '"0.1"', "10e-02"])
def test_every_way_to_write_a_tenth_is_a_tenth(write, text):
    assert config.load(write(f"device: {{tau: {text}}}")).device.tau == 0.1


@given(value=st.floats(min_value=1e-300, max_value=1e300), style=st.sampled_from(["{!r}", "{:e}", "{:E}", "{:g}"]))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_float_means_what_it_means_in_python(write, value, style):
    text = style.format(value)
    assert config.load(write(f"device:\n  tau: {text}")).device.tau == float(text)


def test_words_and_numbers_are_read_as_in_yaml_1_2(write):
    assert config.load(write("seed: 010")).seed == 10
    assert config.load(write("learning: {epochs: 1e3}")).learning.epochs == 1000
    assert "got 'on'" in refused(write("neurons: {reset: on}"))
    assert "got '1:30'" in refused(write("run: {checkpoint_every_s: 1:30}"))


@pytest.mark.parametrize("text", ["true", "no", "[]", "{}", "abc", ".nan", ".inf", "-1", "2001-01-01", "~"])
def test_what_is_no_size_is_refused(write, text):
    assert "array.n_inputs (line 2)" in refused(write(f"array:\n  n_inputs: {text}"))


def test_module_size_is_a_number_or_a_pair(write):
    assert config.load(write("array: {module_size: 10}")).array.module_size == (10, 10)
    assert config.load(write("array: {module_size: [28, 14]}")).array.module_size == (28, 14)
    assert Config(array={"module_size": 7}).array.module_size == (7, 7)
    for bad in ("0", "[1, 2, 3]", "[1]", "x", "true", "1.5", "[28, 0]"):
        assert "array.module_size" in refused(write(f"array: {{module_size: {bad}}}"))


def test_a_spread_is_a_sigma_or_says_its_distribution(write):
    d2d = config.load(write("variation: {d2d: {tau: 0.2, g_max: {sigma: 0.1, distribution: normal}}}")).variation.d2d
    assert (d2d["tau"].sigma, d2d["tau"].distribution) == (0.2, "lognormal")
    assert (d2d["g_max"].sigma, d2d["g_max"].distribution) == (0.1, "normal")


def test_infinity_is_a_device_parameter_but_nothing_else(write):
    assert config.device_params(config.load(write("device: {params: {tau: .inf}}"))).tau == math.inf
    assert "should be a finite number" in refused(write("device: {read_time: .inf}"))
    assert "should be a number, not nan" in refused(write("device: {params: {tau: .nan}}"))


@pytest.mark.parametrize("text", ["", "# only a comment\n", "learning:\n", "{}"])
def test_what_is_left_out_is_the_default(write, text):
    assert config.load(write(text)) == Config()


def test_a_config_cannot_change():
    with pytest.raises(ValueError, match="frozen"):
        Config().learning.epochs = 3


# --- overrides --------------------------------------------------------------------------------------------------------


def test_overrides_go_before_the_file(write):
    c = config.load(
        write(FRAMEWORK),
        ["learning.epochs=2", "device.params.alpha_pot=1e-2", "variation.d2d.tau=.3", "array.module_size=[28, 14]"],
    )
    assert c.learning.epochs == 2
    assert config.device_params(c).alpha_pot == 0.01
    assert c.variation.d2d["tau"].sigma == 0.3
    assert c.array.module_size == (28, 14)
    assert c.learning.learning_rate == 0.01


@pytest.mark.parametrize(
    "override, complaint",
    [
        ("learning.epochs", "a setting is written key=value"),
        ("=3", "a setting is written key=value"),
        ("learning..epochs=3", "a setting is written key=value"),
        ("learning.epoch=3", "learning.epoch (--set learning.epoch=3): unknown key; did you mean 'epochs'?"),
        ("learning.epochs=0", "learning.epochs (--set learning.epochs=0): Input should be greater than or equal to 1"),
        ("array.n_inputs.rows=3", "n_inputs holds 784, which has no keys"),
        ("learning.epochs=[1", "is no readable YAML"),
        ("learning.epochs=1\nseed: 3", "the value is no single YAML value"),
    ],
)
def test_a_bad_override_is_named(write, override, complaint):
    assert complaint in refused(write(FRAMEWORK), [override])


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_refused_with_the_nearest_and_all_accepted(write):
    path = write("neurons:\n  leak: 0.5\n  treshold: 2\n")
    assert refused(path) == (
        f"{path}: neurons.treshold (line 3): unknown key; did you mean 'threshold'? "
        "(accepted: time_steps, leak, threshold, reset, refractory, surrogate_width)"
    )


def test_all_problems_are_listed_at_once(write):
    text = "chips: 0\nlerning: {}\nlearning: {rule: backprop, batch_size: 2}\nvariation: {d2d: {tau: {sgma: 1}}}\n"
    message = refused(write(text))
    for problem in (
        "chips (line 1): Input should be greater than or equal to 1, got 0 (sampled chips",
        "lerning (line 2): unknown key; did you mean 'learning'?",
        "learning.rule (line 3): Input should be 'three_factor' or 'error_driven', got 'backprop' (learning rule)",
        "learning.batch_size (line 3): Input should be 1, got 2",
        "variation.d2d.tau.sgma (line 4): unknown key; did you mean 'sigma'? (accepted: sigma, distribution, die,",
        "variation.d2d.tau.sigma (line 4): is missing",
    ):
        assert problem in message


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("learning: {decay_at: [0.5]}", "decay_at and decay_factor should be of one length, got 1 and 2"),
        ("learning: {decay_at: [0.8, 0.5]}", "decay_at should rise, got [0.8, 0.5]"),
        ("variation: {stuck_on: 0.6, stuck_off: 0.6}", "stuck_on + stuck_off should be at most 1"),
        ("data: {held_out: 1}", "data.held_out (line 1): Input should be less than 1, got 1"),
        ("device: {write_time: 0}", "greater than 0, got 0 (duration of a write pulse, s)"),
        ("seed: -1", "seed (line 1)"),
        ("neurons: 3", "neurons (line 1): Input should be a valid dictionary"),
        ("1: 2", "1 (line 1)"),
    ],
)
def test_ranges_and_combinations(write, text, complaint):
    assert complaint in refused(write(text))


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("learning: {epochs: 3", "is no readable YAML (line 1, column 21)"),
        ("a: b: c", "is no readable YAML (line 1, column 5)"),
        ("\tseed: 1", "is no readable YAML"),
        ("seed: !!python/object/apply:os.getcwd []", "is no readable YAML"),
        ("- seed", "should hold settings (key: value), it holds a list"),
        ("just words", "it holds a str"),
        ("seed: 1\nchips: 2\nseed: 3", "seed is given twice (lines 1 and 3)"),
        ("learning:\n  epochs: 1\n  epochs: 2", "learning.epochs is given twice (lines 2 and 3)"),
        ("seed: 1\n---\nseed: 2", "is no readable YAML"),
        ("a: &x {b: *x}", "is no readable YAML"),
        ("[" * 5000, "is no readable YAML"),
        ("seed: " + "1" * 5000, "is no readable YAML"),
    ],
)
def test_a_file_that_is_no_settings_is_refused_with_the_place(write, text, complaint):
    path = write(text)
    message = refused(path)
    assert message.startswith(str(path))
    assert complaint in message


def test_a_file_that_cannot_be_read_is_named(write, tmp_path):
    assert "cannot read" in refused(tmp_path / "nowhere.yaml")
    assert "No such file" in refused(tmp_path / "nowhere.yaml")
    assert "cannot read" in refused(tmp_path)
    assert "cannot read" in refused(write("seed: 1", encoding="utf-16"))
    assert issubclass(ConfigError, UserError)
    assert issubclass(ConfigError, ValueError)


@given(text=st.text(alphabet=st.sampled_from("abeg01.-+:{}[]&*!|>'\"#%@`,? \n\tseed"), max_size=60))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_config_or_a_config_error(write, text):
    try:
        assert isinstance(config.load(write(text)), Config)
    except ConfigError as error:
        assert str(error).startswith(str(write.path))  # noqa: PT017


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PATHS = [
    (section, key) for section, field in Config.model_fields.items() for key in getattr(field.default, "__dict__", ())
] + [("variation", "d2d", "tau"), ("variation", "d2d", "tau", "sigma"), ("device", "params", "tau"), ("seed",)]


@given(path=st.sampled_from(PATHS), value=anything)
@settings(max_examples=300, deadline=None)
def test_any_value_anywhere_is_a_config_or_a_config_error_that_names_its_key(path, value):
    data = value
    for part in reversed(path):
        data = {part: data}
    try:
        c = config.from_dict(data)
    except ConfigError as error:
        assert path[0] in str(error)  # noqa: PT017
    else:
        assert config.load_text(config.dump(c)) == c


# --- the device -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("device: {name: volatil}", "device.name (line 1): unknown device 'volatil'; did you mean 'volatile'?"),
        (
            "device:\n  name: exponential\n  tau: 1",
            "device.tau (line 3): device 'exponential' has no such parameter (accepted: g_min, g_max, step_up",
        ),
        (
            "device: {params: {alpha_pt: 1}}",
            "device.params.alpha_pt (line 1): device 'volatile' has no such parameter; ",
        ),
        ("device: {tau: 1, params: {tau: 2}}", "device.tau (line 1): is given twice: also as device.params.tau"),
        ("device: {params: {tau: -1}}", "device.params.tau (line 1): tau = -1.0: accepted is more than 0 s"),
        ("device:\n  g_min: 1e-3\n  g_max: 1e-6", "device.g_max (line 3): g_max = 1e-06: accepted is more than g_min"),
        ("variation: {d2d: {gmax: 0.1}}", "variation.d2d.gmax (line 1): device 'volatile' has no such parameter; did"),
    ],
)
def test_the_device_is_checked_when_the_file_is_read(write, text, complaint):
    assert complaint in refused(write(text))


def test_device_params_refuses_what_the_schema_alone_lets_pass():
    with pytest.raises(ConfigError, match="unknown device 'nothing'"):
        config.device_params(Config(device={"name": "nothing"}))


def test_importing_config_imports_no_jax():
    code = "import sys, memjax.config; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["framework.yaml", "edge_mnist.yaml", "patches_digits.yaml"])
def test_what_is_dumped_loads_as_the_same_config(write, name):
    c = config.load(CONFIGS / name)
    again = config.load(write(config.dump(c)))
    assert again == c
    assert config.digest(again) == config.digest(c)
    assert config.dump(again) == config.dump(c)


def test_a_dump_is_complete_and_says_what_each_setting_is():
    text = config.dump(Config(), header="memjax 0.1\nseed 0")
    assert text.startswith("# memjax 0.1\n# seed 0\nseed: 0  # ")
    data = yaml.safe_load(text)
    for section, field in Config.model_fields.items():
        keys = getattr(type(field.default), "model_fields", ())
        assert section in data
        for key in keys:
            assert key in data[section]
    assert "tau_plus: 20.0  # decay of the presynaptic trace, ms" in text


def test_every_setting_says_what_it_is():
    for section, field in Config.model_fields.items():
        inner = getattr(type(field.default), "model_fields", {section: field})
        assert all(f.description for f in inner.values()), section


def test_the_digest_follows_what_is_computed_alone(write):
    base = Config()
    assert config.digest(Config(run={"checkpoint_every_s": 5})) == config.digest(base)
    assert config.digest(config.load(write("learning: {epochs: 100}"))) == config.digest(base)
    for other in (Config(seed=1), Config(learning={"epochs": 3}), Config(device={"params": {"tau": 0.2}})):
        assert config.digest(other) != config.digest(base)


def test_the_digest_of_a_study_follows_what_its_chips_are():
    base = Config()
    for same in (Config(monte_carlo={"chips": 7}), Config(run={"chunk": 20})):
        assert config.study_digest(same) == config.study_digest(base)
    for wanted in ({"age": 1.0}, {"study": "learning"}, {"programming": "open_loop"}, {"quantities": {"c2c": {}}}):
        other = Config(monte_carlo=wanted)
        assert config.study_digest(other) != config.study_digest(base)
        (name,) = wanted
        differ = config.differences(config.study_identity(base), config.study_identity(other))
        assert differ == [f"monte_carlo.{name}"]
    # A section that is null in one of the two:
    patches = Config(patches={})
    assert config.differences(config.identity(base), config.identity(patches)) == ["patches"]


def test_the_identity_goes_through_a_checkpoint(tmp_path):
    from memjax import checkpoint

    c = config.load(CONFIGS / "edge_mnist.yaml", ["device.params.beta_up=.inf"])
    checkpoint.save(tmp_path, 1, {"n": 1}, config.identity(c))
    assert checkpoint.restore(tmp_path, {"n": 0}, config.identity(c)).tree == {"n": 1}
    changed = config.load(CONFIGS / "edge_mnist.yaml", ["learning.epochs=5"])
    with pytest.raises(checkpoint.CheckpointError, match="learning.epochs: saved 8, now 5"):
        checkpoint.restore(tmp_path, {"n": 0}, config.identity(changed))
