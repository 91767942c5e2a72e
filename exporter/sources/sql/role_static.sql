
#variable_conflict use_column
begin
  return query
{select};
{errors}end
