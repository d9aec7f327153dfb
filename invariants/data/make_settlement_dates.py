# Makes settlement_dates_xnys_2020_2027.csv: run with exchange_calendars and pandas installed.
import datetime as dt, sys
import exchange_calendars as xc
import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar, Holiday, nearest_workday, sunday_to_monday, USMartinLutherKingJr, USPresidentsDay, USMemorialDay, USLaborDay, USColumbusDay, USThanksgivingDay, AbstractHolidayCalendar

class Fed(AbstractHolidayCalendar):
    # Reserve Banks: a Sunday holiday is kept on Monday, a Saturday one is not kept.
    rules = [
        Holiday("New Year", month=1, day=1, observance=sunday_to_monday), USMartinLutherKingJr, USPresidentsDay, USMemorialDay,
        Holiday("Juneteenth", month=6, day=19, start_date="2022-01-01", observance=sunday_to_monday),
        Holiday("Independence", month=7, day=4, observance=sunday_to_monday), USLaborDay, USColumbusDay,
        Holiday("Veterans", month=11, day=11, observance=sunday_to_monday), USThanksgivingDay,
        Holiday("Christmas", month=12, day=25, observance=sunday_to_monday)]

first, last, beyond = "2020-01-01", "2027-12-31", "2028-01-31"
calendar = xc.get_calendar("XNYS", start="2019-12-01", end=beyond)
sessions = {s.date() for s in calendar.sessions}
adhoc = {pd.Timestamp(d).tz_localize(None).date() for d in calendar.adhoc_holidays}
early = {s.date() for s in calendar.early_closes}
bank = {d.date() for d in Fed().holidays(first, beyond)}
days = [d.date() for d in pd.date_range(first, beyond)]
settles = [d for d in days if d.weekday() < 5 and d not in bank and (d in sessions or d in adhoc)]
out = ["date,session,settlement_day,settlement_date,closes"]
for d in days:
    if str(d) > last or (d not in sessions and d not in settles): continue
    after = [s for s in settles if s > d]
    cycle = 1 if d >= dt.date(2024, 5, 28) else 2
    sd, close = (after[cycle - 1], "13:00" if d in early else "16:00") if d in sessions else ("", "")
    out.append(f"{d},{int(d in sessions)},{int(d in settles)},{sd},{close}")
open(sys.argv[1], "w").write("\n".join(out) + "\n")
