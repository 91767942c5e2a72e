
declare
  _select text := '';
{declared}
begin
{sound}  for _n in 1 .. cardinality({first}) loop
{found}
    _select := _select || case when _n > 1 then E'\nunion all ' else '' end || format({select},
      {names});
  end loop;
  return query execute _select;
{errors}end
