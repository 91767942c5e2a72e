
#variable_conflict use_column
begin
{sound}  return query
{select};
{errors}end
