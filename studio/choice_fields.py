"""Fields whose value is chosen, not typed."""

from __future__ import annotations

from decimal import Decimal

from PyQt6.QtCore import QSize
from PyQt6.QtGui import QWheelEvent
from PyQt6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QSizePolicy

from ..adapter.parameters.settings import Parameter
from .fields import Field, FileField, LineField, MarkedLineEdit

_LEAST_DECIMALS, _MOST_DECIMALS = 2, 6


class CheckField(Field):
    """True or False."""

    is_wide = True

    def __init__(self, parameter: Parameter) -> None:
        self._check = QCheckBox()
        self._unavailable = ""
        super().__init__(parameter, self._check, has_label=False)
        self._check.toggled.connect(self.refresh)

    def set_title(self, text: str) -> None:
        """Writes the text of the box itself."""
        self._check.setText(text)

    def shown(self) -> str:
        """``True`` or ``False``."""
        return str(self._check.isChecked())

    def show_value(self, text: str) -> None:
        """Ticks the box, if what it offers can be had."""
        try:
            ticked = bool(self.parameter.parse(text))
        except ValueError:
            ticked = False
        self._check.setChecked(ticked and not self._unavailable)

    def set_unavailable(self, reason: str) -> None:
        """Takes the choice away and says why; the value stays, for the next machine.

        Args:
            reason: A sentence for the user; empty gives the choice back.
        """
        value = self.value()
        self._unavailable = reason
        self.reason_note.say(reason)
        self.set_value(value)

    def _enable(self, enabled: bool) -> None:
        super()._enable(enabled and not self._unavailable)


class _Combo(QComboBox):
    """Lets the page scroll when the wheel passes over it, and has room for every choice."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """No choice is ever cut off, not even after the font has changed."""
        return self.sizeHint()

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802
        """Turns only what has the keyboard's focus."""
        if event is not None and not self.hasFocus():
            event.ignore()
        else:
            super().wheelEvent(event)


class _Spin(QDoubleSpinBox):
    """Lets the page scroll when the wheel passes over it."""

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802
        """Turns only what has the keyboard's focus."""
        if event is not None and not self.hasFocus():
            event.ignore()
        else:
            super().wheelEvent(event)


class ChoiceField(Field):
    """One of a few values, under the names that the table gives them."""

    def __init__(self, parameter: Parameter) -> None:
        self._combo = _Combo()
        super().__init__(parameter, self._combo)
        names = parameter.choice_labels or parameter.choices
        for name, choice in zip(names, parameter.choices, strict=True):
            self._combo.addItem(name, choice)
        self._combo.currentIndexChanged.connect(self.refresh)

    def shown(self) -> str:
        """The value, not its name."""
        return str(self._combo.currentData())

    def show_value(self, text: str) -> None:
        """Chooses it, or the default where it cannot be read."""
        try:
            choice = self.parameter.parse(text)
        except ValueError:
            choice = self.parameter.default
        self._combo.setCurrentIndex(self._combo.findData(choice))


class OpenChoiceField(Field):
    """One of a few values, or another that is typed."""

    def __init__(self, parameter: Parameter) -> None:
        self._combo = _Combo()
        self._line = MarkedLineEdit()
        super().__init__(parameter, self._combo)
        self._combo.setEditable(True)
        self._combo.setLineEdit(self._line)
        self._combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self._combo.addItems(parameter.choices)
        self._combo.editTextChanged.connect(self.refresh)
        self._line.returnPressed.connect(self.submitted)

    def shown(self) -> str:
        """What is chosen or typed."""
        return self._combo.currentText()

    def show_value(self, text: str) -> None:
        """Writes it."""
        self._combo.setCurrentText(text)

    def refresh(self) -> None:
        """Marks the line inside the box as well."""
        super().refresh()
        self._line.setProperty("invalid", self.editor.property("invalid"))
        self._line.update()


class NumberField(Field):
    """A number within its range."""

    def __init__(self, parameter: Parameter) -> None:
        self._spin = _Spin()
        super().__init__(parameter, self._spin)
        self._spin.setDecimals(self._decimals(parameter.default))
        self._spin.setRange(parameter.minimum, parameter.maximum)
        self._spin.setSingleStep(parameter.step)
        self._spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._spin.valueChanged.connect(self.refresh)

    def shown(self) -> str:
        """The number, without trailing zeros."""
        return f"{Decimal(f'{self._spin.value():.{self._spin.decimals()}f}').normalize():f}"

    def show_value(self, text: str) -> None:
        """Shows it with as many decimals as it needs, or the least value if it is no number."""
        try:
            number = self.parameter.parse(text)
        except ValueError:
            number = self.parameter.minimum
        else:
            self._spin.setDecimals(self._decimals(text))
        self._spin.setValue(number)

    def _decimals(self, text: str) -> int:
        if self.parameter.kind == "int":
            return 0
        exponent = Decimal(text.strip()).as_tuple().exponent
        return max(_LEAST_DECIMALS, min(-int(exponent), _MOST_DECIMALS))


_FIELDS: dict[str, type[Field]] = {
    "text": LineField,
    "file": FileField,
    "bool": CheckField,
    "choice": ChoiceField,
    "open_choice": OpenChoiceField,
    "int": NumberField,
    "float": NumberField,
}


def field_for(parameter: Parameter) -> Field:
    """The field that edits a parameter of this kind."""
    field: Field = _FIELDS[parameter.kind](parameter)  # type: ignore[call-arg]
    field.set_value(parameter.default)
    return field
