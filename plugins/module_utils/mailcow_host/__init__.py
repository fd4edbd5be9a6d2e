# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program of the role mailcow on a host; the package mailcow is the client of mailcow's API."""
