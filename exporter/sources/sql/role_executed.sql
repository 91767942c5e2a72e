
declare
{declared}begin
{found}  return query execute {select}{using};
{errors}end
