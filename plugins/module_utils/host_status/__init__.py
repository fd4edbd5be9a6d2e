# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The status of a host: what runs, what is backed up and proven, and what needs attention. It only reads."""
