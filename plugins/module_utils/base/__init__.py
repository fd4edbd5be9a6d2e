# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state of a host that the role base promises: upgrades, journal, time, locales and reboots, by their effects."""
