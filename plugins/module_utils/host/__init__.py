# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all code on a host shares: programs, files, locks, journals, users, metrics; it imports nothing above it."""
