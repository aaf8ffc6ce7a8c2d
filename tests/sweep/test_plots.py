"""The plots of a sweep show values and names as they are written."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial

from blurr.sweep.objectives import Objective
from blurr.sweep.plots import draw


@pytest.mark.filterwarnings("error")
def test_values_of_any_characters_are_drawn(tmp_path):
    names = ["$x$ of $y_{", r"C:\models\a^_", "映画"]
    odd, rates = CategoricalDistribution(names), FloatDistribution(1e-5, 1e-1, log=True)
    study = optuna.create_study()
    for number in range(6):
        params = {"model.$name_{": names[number % 3], "optimizer.lr": 10.0 ** -(number % 4 + 1)}
        distributions = {"model.$name_{": odd, "optimizer.lr": rates}
        study.add_trial(create_trial(params=params, distributions=distributions, value=float(number)))
    page, *pictures = draw(study, Objective("valid/$f_1$", "maximize"), tmp_path / "plots", title="Sweep <$a_{>")
    assert len(pictures) == 4
    assert all(picture.stat().st_size > 1000 for picture in pictures)
    assert "<h1>Sweep &lt;$a_{&gt;</h1>" in page.read_text()
