"""Fields for bools, choices and numbers."""

from __future__ import annotations

from decimal import Decimal

from PyQt6.QtCore import QSize
from PyQt6.QtGui import QWheelEvent
from PyQt6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QSizePolicy

from ..adapter.parameters.spec import Parameter
from .fields import Field, FileField, LineField, MarkedLineEdit

_LEAST_DECIMALS, _MOST_DECIMALS = 2, 6


class CheckField(Field):
    """A check box for True or False."""

    is_wide = True

    def __init__(self, parameter: Parameter) -> None:
        self._check = QCheckBox()
        self._unavailable = ""
        super().__init__(parameter, self._check, has_label=False)
        self._check.toggled.connect(self.refresh)

    def set_title(self, text: str) -> None:
        """Sets the text of the check box."""
        self._check.setText(text)

    def read_editor(self) -> str:
        """Returns ``True`` or ``False``."""
        return str(self._check.isChecked())

    def show_value(self, text: str) -> None:
        """Checks the box if the value is true and the option is available."""
        try:
            ticked = bool(self.parameter.parse(text))
        except ValueError:
            ticked = False
        self._check.setChecked(ticked and not self._unavailable)

    def set_unavailable(self, reason: str) -> None:
        """Disables the check box and shows why; the value is kept for another machine.

        Args:
            reason: A sentence for the user; empty gives the choice back.
        """
        value = self.value()
        self._unavailable = reason
        self.reason_note.show_text(reason)
        self.set_value(value)

    def _enable(self, enabled: bool) -> None:
        super()._enable(enabled and not self._unavailable)


class _WheelNeedsFocus:
    """Makes a widget ignore the wheel without the keyboard focus: then the page scrolls."""

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802
        """Changes the value only with the focus."""
        if event is not None and not self.hasFocus():  # type: ignore[attr-defined]
            event.ignore()
        else:
            super().wheelEvent(event)  # type: ignore[misc]


class _Combo(_WheelNeedsFocus, QComboBox):
    """A combo box that ignores the wheel without focus, and is as wide as its widest choice."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Returns the size of the widest choice, in the current font."""
        return self.sizeHint()


class _Spin(_WheelNeedsFocus, QDoubleSpinBox):
    """A spin box that ignores the wheel without focus."""


class ChoiceField(Field):
    """A combo box of fixed values, shown under the names of the table."""

    def __init__(self, parameter: Parameter) -> None:
        self._combo = _Combo()
        super().__init__(parameter, self._combo)
        names = parameter.choice_labels or parameter.choices
        for name, choice in zip(names, parameter.choices, strict=True):
            self._combo.addItem(name, choice)
        self._combo.currentIndexChanged.connect(self.refresh)

    def read_editor(self) -> str:
        """Returns the value, not its name."""
        return str(self._combo.currentData())

    def show_value(self, text: str) -> None:
        """Selects the value, or the default where the value is invalid."""
        try:
            choice = self.parameter.parse(text)
        except ValueError:
            choice = self.parameter.default
        self._combo.setCurrentIndex(self._combo.findData(choice))


class OpenChoiceField(Field):
    """A combo box whose value can also be typed."""

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

    def read_editor(self) -> str:
        """Returns what is selected or typed."""
        return self._combo.currentText()

    def show_value(self, text: str) -> None:
        """Sets the text of the combo box."""
        self._combo.setCurrentText(text)

    def refresh(self) -> None:
        """Outlines the line edit inside the combo box as well."""
        super().refresh()
        self._line.setProperty("invalid", self.editor.property("invalid"))
        self._line.update()


class NumberField(Field):
    """A spin box for a number in its range."""

    def __init__(self, parameter: Parameter) -> None:
        self._spin = _Spin()
        super().__init__(parameter, self._spin)
        self._spin.setDecimals(self._count_decimals(parameter.default))
        self._spin.setRange(parameter.minimum, parameter.maximum)
        self._spin.setSingleStep(parameter.step)
        self._spin.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._spin.valueChanged.connect(self.refresh)

    def read_editor(self) -> str:
        """Returns the number without trailing zeros."""
        return f"{Decimal(f'{self._spin.value():.{self._spin.decimals()}f}').normalize():f}"

    def show_value(self, text: str) -> None:
        """Shows the number with the decimals it needs; the minimum where the value is invalid."""
        try:
            number = self.parameter.parse(text)
        except ValueError:
            number = self.parameter.minimum
        else:
            self._spin.setDecimals(self._count_decimals(text))
        self._spin.setValue(number)

    def _count_decimals(self, text: str) -> int:
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


def make_field(parameter: Parameter) -> Field:
    """Makes the field that edits a parameter of this kind."""
    field: Field = _FIELDS[parameter.kind](parameter)  # type: ignore[call-arg]
    field.set_value(parameter.default)
    return field
